#include "pipeline/budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace whimbrel {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// A run with a clock of its own: one worker reads and scores window after window.
class Simulation {
 public:
  Simulation(double budget_s, std::vector<BudgetMember> members, std::vector<double> costs_s, std::int64_t windows)
      : costs_s_(std::move(costs_s)),
        windows_(windows),
        budget_(begin_, begin_ + seconds(budget_s), std::move(members), 1, windows, 10),
        scored_(costs_s_.size()) {}

  /// Goes on until `until` windows are read or the time is over. @param slowness  of the machine
  void run(std::int64_t until, double slowness = 1) {
    while (read_ < std::min(until, windows_) && !budget_.must_stop(now_)) {
      const auto set = budget_.members(now_);
      pass(0.001 * slowness);
      budget_.read(1, 0.001 * slowness, now_);
      for (std::size_t m = 0; m < costs_s_.size(); ++m) {
        if (!(*set)[m]) continue;
        pass(costs_s_[m] * slowness);
        budget_.inferred(m, 1, costs_s_[m] * slowness, now_);
        ++scored_[m];
      }
      budget_.wrote(1, 0);
      ++read_;
    }
  }

  double elapsed_s() const { return seconds_between(begin_, now_); }
  std::int64_t read() const { return read_; }
  std::int64_t scored(std::size_t member) const { return scored_[member]; }
  Budget& budget() { return budget_; }

 private:
  static Clock::duration seconds(double s) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
  }
  void pass(double s) { now_ += seconds(s); }

  Clock::time_point begin_ = Clock::time_point{} + std::chrono::hours(1);
  Clock::time_point now_ = begin_;
  std::vector<double> costs_s_;
  std::int64_t windows_;
  std::int64_t read_ = 0;
  Budget budget_;
  std::vector<std::int64_t> scored_;
};

const std::vector<BudgetMember> kThree = {
    {.gain = 0.02, .cost_s = 0.01}, {.gain = 0.01, .cost_s = 0.02}, {.gain = 0.03, .cost_s = 0.05}};

TEST(Budget, LeavesARunAloneThatHasTheTime) {
  Simulation run(120, kThree, {0.01, 0.02, 0.05}, 1000);  // needs 81 s
  run.run(1000);
  EXPECT_EQ(run.read(), 1000);
  for (const std::size_t m : {0U, 1U, 2U}) EXPECT_EQ(run.scored(m), 1000);
  EXPECT_THAT(run.budget().changes(), IsEmpty());
}

TEST(Budget, DropsTheSmallestGainPerSecondFirst) {
  Simulation run(70, kThree, {0.01, 0.02, 0.05}, 1000);
  run.run(1000);
  EXPECT_EQ(run.read(), 1000);
  EXPECT_EQ(run.scored(0), 1000);
  EXPECT_EQ(run.scored(2), 1000);
  EXPECT_LT(run.scored(1), 900);  // gains 0.5 a second; the others 2 and 0.6
  EXPECT_LT(run.elapsed_s(), 70);
  EXPECT_EQ(run.budget().changes().front().member, 1U);
}

TEST(Budget, KeepsItsPromiseWhenTheMachineBecomesSlow) {
  Simulation run(120, kThree, {0.01, 0.02, 0.05}, 1000);
  run.run(500);
  EXPECT_THAT(run.budget().changes(), IsEmpty());
  run.run(1000, 4);
  EXPECT_EQ(run.read(), 1000);
  EXPECT_EQ(run.scored(0), 1000);
  EXPECT_LT(run.scored(2), 1000);
  EXPECT_LT(run.elapsed_s(), 120);
}

TEST(Budget, TakesAMemberBackWhenTheMachineIsItselfAgain) {
  Simulation run(120, kThree, {0.01, 0.02, 0.05}, 1000);
  run.run(300);
  run.run(400, 6);
  const auto while_slow = run.scored(1);
  run.run(1000);
  EXPECT_EQ(run.read(), 1000);
  EXPECT_GT(run.scored(1), while_slow + 100);
  EXPECT_LT(run.elapsed_s(), 120);
}

TEST(Budget, KeepsOneMemberAndStopsWithTimeToWrite) {
  Simulation run(5, kThree, {0.01, 0.02, 0.05}, 1000);  // the first alone needs 11 s
  run.run(1000);
  EXPECT_LT(run.read(), 1000);
  EXPECT_GT(run.read(), 200);
  EXPECT_EQ(run.scored(0), run.read());
  EXPECT_LT(run.elapsed_s(), 5 - 0.4);
}

TEST(Budget, NeverDropsWhatTheRunCannotDoWithout) {
  auto members = kThree;
  members[2].keep = true;
  Simulation run(30, members, {0.01, 0.02, 0.05}, 1000);
  run.run(1000);
  EXPECT_EQ(run.scored(2), run.read());
  EXPECT_LT(run.scored(0), run.read());
}

TEST(Budget, LeavesOutWhatWasNotOpened) {
  auto members = kThree;
  members[0].closed = true;
  Simulation run(1000, members, {0.01, 0.02, 0.05}, 10);
  run.run(10);
  EXPECT_EQ(run.scored(0), 0);
  EXPECT_EQ(run.scored(1), 10);
  EXPECT_THAT(run.budget().changes(), IsEmpty());
}

TEST(Budget, CountsGatedMembersByWhatTheGateLetsThrough) {
  const std::vector<BudgetMember> members = {{.gain = 1, .cost_s = 0.01, .keep = true},
                                             {.gain = 1, .cost_s = 0.1, .gated = true}};
  Budget budget({}, Clock::time_point{} + std::chrono::seconds(30), members, 1, 1000, 10);
  const auto now = Clock::time_point{} + std::chrono::milliseconds(100);
  budget.gated(100, 5);  // 5 %: 10 s for the gate, 5 s for the other
  EXPECT_THAT(*budget.members(now), ElementsAre(true, true));
  budget.gated(100, 100);  // then more than half
  EXPECT_THAT(*budget.members(now + std::chrono::seconds(1)), ElementsAre(true, false));
}

TEST(Budget, TellsWhatWasDroppedOnce) {
  Budget budget({}, Clock::time_point{} + std::chrono::seconds(10), kThree, 1, 1000, 10);
  (void)budget.members(Clock::time_point{} + std::chrono::milliseconds(1));
  EXPECT_THAT(budget.take_dropped(), ElementsAre(1, 2));
  EXPECT_THAT(budget.take_dropped(), IsEmpty());
}

}  // namespace
}  // namespace whimbrel
