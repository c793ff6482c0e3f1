#include "pipeline/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "pipeline/source.h"

namespace whimbrel {
namespace {

std::vector<WindowPtr> windows(std::size_t recording, std::int64_t from, std::int64_t count) {
  std::vector<WindowPtr> made;
  for (std::int64_t i = 0; i < count; ++i) made.push_back(std::make_shared<Window>(Window{recording, from + i, {}, {}}));
  return made;
}

std::vector<std::pair<std::size_t, std::int64_t>> content(const Scheduler::Task& task) {
  std::vector<std::pair<std::size_t, std::int64_t>> rows;
  for (const auto& w : std::get<Scheduler::Infer>(task).windows) rows.emplace_back(w->recording, w->index);
  return rows;
}

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(Scheduler, FillsBatchesAcrossRecordings) {
  Scheduler scheduler(2, {{.batch = 4}}, 2);
  ASSERT_EQ(std::get<Scheduler::Open>(scheduler.next()).recording, 0U);
  scheduler.produced(0, windows(0, 0, 3), nullptr);
  ASSERT_EQ(std::get<Scheduler::Open>(scheduler.next()).recording, 1U);
  scheduler.produced(1, windows(1, 0, 2), nullptr);
  EXPECT_THAT(content(scheduler.next()), ElementsAre(Pair(0, 0), Pair(0, 1), Pair(0, 2), Pair(1, 0)));
  scheduler.inferred();
  EXPECT_THAT(content(scheduler.next()), ElementsAre(Pair(1, 1)));  // no more can come: dealt out unfilled
  scheduler.inferred();
  EXPECT_TRUE(std::holds_alternative<Scheduler::Stop>(scheduler.next()));
}

TEST(Scheduler, KeepsRecordingsApartWhereRowsAreNotIndependent) {
  Scheduler scheduler(2, {{.batch = 4, .mix_recordings = false}}, 2);
  (void)scheduler.next();
  (void)scheduler.next();
  scheduler.produced(0, windows(0, 0, 3), nullptr);
  scheduler.produced(1, windows(1, 0, 5), nullptr);
  EXPECT_THAT(content(scheduler.next()), ElementsAre(Pair(0, 0), Pair(0, 1), Pair(0, 2)));
  EXPECT_THAT(content(scheduler.next()), ElementsAre(Pair(1, 0), Pair(1, 1), Pair(1, 2), Pair(1, 3)));
  EXPECT_THAT(content(scheduler.next()), ElementsAre(Pair(1, 4)));
}

TEST(Scheduler, GivesEveryWindowToEveryMember) {
  Scheduler scheduler(1, {{.batch = 1}, {.batch = 2}}, 1);
  (void)scheduler.next();
  scheduler.produced(0, windows(0, 0, 2), nullptr);
  std::vector<std::size_t> given(2);
  for (int i = 0; i < 3; ++i) {
    const auto task = scheduler.next();
    const auto& infer = std::get<Scheduler::Infer>(task);
    given[infer.member] += infer.windows.size();
    scheduler.inferred();
  }
  EXPECT_THAT(given, ElementsAre(2, 2));
  EXPECT_TRUE(std::holds_alternative<Scheduler::Stop>(scheduler.next()));
}

TEST(Scheduler, PrefersFullBatchesToReadingOn) {
  Scheduler scheduler(3, {{.batch = 2}}, 3);
  (void)scheduler.next();
  scheduler.produced(0, windows(0, 0, 2), nullptr);
  EXPECT_TRUE(std::holds_alternative<Scheduler::Infer>(scheduler.next()));
  EXPECT_TRUE(std::holds_alternative<Scheduler::Open>(scheduler.next()));
}

TEST(Scheduler, OpensNoMoreRecordingsThanAllowed) {
  Scheduler scheduler(5, {{.batch = 2}}, 1);
  EXPECT_EQ(std::get<Scheduler::Open>(scheduler.next()).recording, 0U);
  std::atomic<bool> got{false};
  std::jthread waiter([&] {
    EXPECT_EQ(std::get<Scheduler::Open>(scheduler.next()).recording, 1U);
    got = true;
  });
  EXPECT_FALSE(got);
  scheduler.produced(0, {}, nullptr);
  waiter.join();
  EXPECT_TRUE(got);
}

std::vector<WindowPtr> scored_by(const MemberSet& members, std::int64_t count) {
  const auto set = std::make_shared<const MemberSet>(members);
  std::vector<WindowPtr> made;
  for (std::int64_t i = 0; i < count; ++i) made.push_back(std::make_shared<Window>(Window{0, i, {}, set}));
  return made;
}

TEST(Scheduler, GivesWindowsOnlyToTheirMembers) {
  Scheduler scheduler(1, {{.batch = 2}, {.batch = 2}}, 1);
  (void)scheduler.next();
  scheduler.produced(0, scored_by({false, true}, 2), nullptr);
  const auto task = scheduler.next();
  EXPECT_EQ(std::get<Scheduler::Infer>(task).member, 1U);
  scheduler.inferred();
  EXPECT_TRUE(std::holds_alternative<Scheduler::Stop>(scheduler.next()));
}

TEST(Scheduler, GivesGatedMembersWhatIsAdmittedInFullBatches) {
  Scheduler scheduler(1, {{.batch = 2}, {.batch = 2, .gated = true}}, 1);
  (void)scheduler.next();
  const auto all = scored_by({true, true}, 6);
  scheduler.produced(0, all, nullptr);
  std::vector<std::size_t> members;
  std::vector<std::size_t> sizes;
  for (int i = 0; i < 5; ++i) {
    const auto task = scheduler.next();
    const auto& infer = std::get<Scheduler::Infer>(task);
    members.push_back(infer.member);
    sizes.push_back(infer.windows.size());
    if (infer.member == 0) scheduler.admit({infer.windows.front()});  // every second one
    scheduler.inferred();
  }
  EXPECT_THAT(members, ElementsAre(0, 0, 0, 1, 1));
  EXPECT_THAT(sizes, ElementsAre(2, 2, 2, 2, 1));
  EXPECT_TRUE(std::holds_alternative<Scheduler::Stop>(scheduler.next()));
}

TEST(Scheduler, WaitsForTheGateBeforeItDealsOutUnfilledBatchesBehindIt) {
  Scheduler scheduler(1, {{.batch = 1}, {.batch = 2, .gated = true}}, 1);
  (void)scheduler.next();
  const auto all = scored_by({true, true}, 2);
  scheduler.produced(0, all, nullptr);
  (void)scheduler.next();
  (void)scheduler.next();  // both windows are with the gate
  scheduler.admit({all[0]});
  scheduler.inferred();
  std::jthread late([&] {
    scheduler.admit({all[1]});
    scheduler.inferred();
  });
  EXPECT_EQ(content(scheduler.next()).size(), 2U);
  scheduler.inferred();
}

TEST(Scheduler, FlushesAMemberThatGetsNoMoreWindows) {
  Scheduler scheduler(2, {{.batch = 4}}, 1);
  (void)scheduler.next();
  scheduler.produced(0, windows(0, 0, 1), nullptr);
  scheduler.flush(0);
  EXPECT_THAT(content(scheduler.next()), ElementsAre(Pair(0, 0)));
}

TEST(Scheduler, StopEndsWaitingWorkers) {
  Scheduler scheduler(1, {{.batch = 1}}, 1);
  (void)scheduler.next();
  std::jthread waiter([&] { EXPECT_TRUE(std::holds_alternative<Scheduler::Stop>(scheduler.next())); });
  scheduler.stop();
}

TEST(Scheduler, WithoutRecordingsStopsAtOnce) {
  Scheduler scheduler(0, {{.batch = 8}}, 2);
  EXPECT_TRUE(std::holds_alternative<Scheduler::Stop>(scheduler.next()));
}

}  // namespace
}  // namespace whimbrel
