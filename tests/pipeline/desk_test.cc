#include "pipeline/desk.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "whimbrel/pipeline.h"

namespace whimbrel {
namespace {

const auto kFuture = Clock::now() + std::chrono::hours(1);

/// A worker inside a call that ends when it is told to.
class Hung {
 public:
  explicit Hung(Work work) {
    thread_ = std::thread([this, work] {
      try {
        result_.set_value(desk_.watched(work, {3}, [this] {
          inside_.set_value();
          release_.get_future().wait();
          return 7;
        }));
      } catch (const GivenUp&) {
        result_.set_value(-1);
      }
    });
    inside_.get_future().wait();
  }
  ~Hung() { thread_.join(); }

  /// What the call gave, -1 where nobody waited for it.
  int end() {
    release_.set_value();
    return result_.get_future().get();
  }
  Desk& desk() { return desk_; }

 private:
  Desk desk_;
  std::promise<void> inside_, release_;
  std::promise<int> result_;
  std::thread thread_;
};

TEST(Desk, ACallThatReturnsInTimeGivesItsResult) {
  Hung call(Work::decoding);
  EXPECT_FALSE(call.desk().give_up(Work::decoding, Clock::now() - std::chrono::hours(1)));
  EXPECT_EQ(call.end(), 7);
  EXPECT_FALSE(call.desk().give_up(std::nullopt, kFuture)) << "nothing to give up between calls";
}

TEST(Desk, WhoMadeACallThatWasGivenUpIsTold) {
  Hung call(Work::decoding);
  const auto recordings = call.desk().give_up(Work::decoding, kFuture);
  ASSERT_TRUE(recordings);
  EXPECT_EQ(*recordings, std::vector<std::size_t>{3});
  EXPECT_FALSE(call.desk().give_up(Work::decoding, kFuture)) << "once";
  EXPECT_TRUE(threads_left_behind());
  EXPECT_EQ(call.end(), -1);
}

TEST(Desk, PatienceIsForOneKindOfWork) {
  Hung call(Work::inference);
  EXPECT_FALSE(call.desk().give_up(Work::decoding, kFuture));
  EXPECT_TRUE(call.desk().give_up(std::nullopt, kFuture));
  EXPECT_EQ(call.end(), -1);
}

TEST(Desk, ErrorsPassUnlessNobodyWaits) {
  Desk desk;
  EXPECT_THROW(desk.watched(Work::decoding, {}, []() -> int { throw Error(ErrorCode::bad_recording, "bad"); }), Error);
  EXPECT_EQ(desk.watched(Work::decoding, {}, [] { return 1; }), 1);
  const auto give_up_and_throw = [&desk]() -> int {
    desk.give_up(std::nullopt, kFuture);
    throw Error(ErrorCode::bad_recording, "bad");
  };
  EXPECT_THROW(desk.watched(Work::decoding, {}, give_up_and_throw), GivenUp);
}

TEST(CallUnlessCancelled, PassesOnErrorsAndWaitsForTheEnd) {
  bool called = false;
  call_unless_cancelled([&] { called = true; }, nullptr, 1);
  EXPECT_TRUE(called);
  EXPECT_THROW(call_unless_cancelled([] { throw Error(ErrorCode::engine, "no"); }, nullptr, 1), Error);
}

TEST(CallUnlessCancelled, LeavesACallThatTakesTooLong) {
  const std::atomic<bool> cancel{true};
  auto release = std::make_shared<std::promise<void>>();
  auto left = std::make_shared<std::promise<void>>();
  const auto wait = [release, left] {
    release->get_future().wait();
    left->set_value();
  };
  try {
    call_unless_cancelled(wait, &cancel, 0.05);
    FAIL() << "came back";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::cancelled);
  }
  release->set_value();
  left->get_future().wait();
}

}  // namespace
}  // namespace whimbrel
