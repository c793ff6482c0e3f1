#include "pipeline/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace whimbrel {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using Verdict = MemoryGuard::Verdict;

constexpr std::int64_t kLimit = 1'000'000'000;

/// A process whose size the test says, and a clock that it turns.
class Guarded : public ::testing::Test {
 protected:
  MemoryGuard guard_with(int workers) {
    return {kLimit, workers, [this] { return resident_; }};
  }
  Verdict after(MemoryGuard& guard, Clock::duration time) { return guard.look(now_ += time); }

  std::int64_t resident_ = kLimit;
  Clock::time_point now_ = Clock::now();
};

TEST_F(Guarded, NothingHappensUpToTheLimit) {
  auto guard = guard_with(3);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(after(guard, seconds(1)), Verdict::go_on);
  EXPECT_EQ(guard.workers(), 3);
  EXPECT_EQ(guard.reason(), "");
}

TEST_F(Guarded, WorkersAreSentAwayOneByOneUntilItFits) {
  auto guard = guard_with(4);
  resident_ = kLimit + 1;
  EXPECT_EQ(after(guard, seconds(1)), Verdict::leave);
  EXPECT_EQ(after(guard, milliseconds(10)), Verdict::go_on) << "what the one before held is not free yet";
  EXPECT_EQ(after(guard, seconds(1)), Verdict::leave);
  EXPECT_EQ(guard.workers(), 2);
  resident_ = kLimit;
  EXPECT_EQ(after(guard, seconds(1)), Verdict::go_on);
  EXPECT_EQ(guard.workers(), 2);
}

TEST_F(Guarded, TheLastWorkerStopsTheRunOnlyWhereItStaysAboveTheLimit) {
  auto guard = guard_with(1);
  resident_ = kLimit + 500'000'000;
  EXPECT_EQ(after(guard, seconds(1)), Verdict::go_on);
  EXPECT_EQ(after(guard, milliseconds(1500)), Verdict::go_on);
  resident_ = kLimit;
  EXPECT_EQ(after(guard, seconds(1)), Verdict::go_on) << "it came down in time";
  resident_ = kLimit + 500'000'000;
  EXPECT_EQ(after(guard, seconds(1)), Verdict::go_on) << "and has its time again";
  EXPECT_EQ(after(guard, seconds(1)), Verdict::go_on);
  EXPECT_EQ(after(guard, seconds(1)), Verdict::stop);
  EXPECT_THAT(guard.reason(), AllOf(HasSubstr("1500 MB"), HasSubstr("--max-memory is 1000 MB"), HasSubstr("--batch")));
  EXPECT_EQ(guard.workers(), 1);
}

TEST(CheckMemory, RefusesWhatTheProcessAlreadyHolds) {
  EXPECT_NO_THROW(check_memory(0, "now"));
  EXPECT_NO_THROW(check_memory(std::int64_t{1} << 50, "now"));
  try {
    check_memory(1'000'000, "after opening b0.onnx");
    FAIL() << "it was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("--max-memory is 1 MB"), HasSubstr("after opening b0.onnx")));
  }
}

}  // namespace
}  // namespace whimbrel
