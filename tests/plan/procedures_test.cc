#include "plan/procedures.h"

#include <gmock/gmock.h>

#include "plan/pareto.h"
#include "problems.h"
#include "whimbrel/core.h"

namespace whimbrel {
namespace {

using ::testing::HasSubstr;

const CascadeOptions kNoCascade{CascadeMode::never, 0};

/// 1 where the windows of a class rank right, with a little noise in between, so that luck can be had.
Candidate pure_noise(const Problem& problem, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(0, 1);
  Candidate candidate{.name = "noise", .model = problem.candidates.size(), .cost_s = 1};
  for (std::size_t i = 0; i < problem.validation.truth.size(); ++i) candidate.scores.push_back(uniform(random));
  return candidate;
}

TEST(HeldOut, UselessModelsAreNotTakenThoughLuckSpeaksForThem) {
  int lucky = 0;
  for (unsigned seed = 0; seed < 5; ++seed) {
    auto problem = drawn_problem(10, 12, 3, 0.1, 100 + seed);
    problem.candidates.push_back(noisy(problem, "good", 1, 2.5, seed));
    for (unsigned i = 0; i < 15; ++i) problem.candidates.push_back(pure_noise(problem, 1000 * seed + i));
    Selector selector(problem);
    const auto greedy = selector.best_weighted(problem.budget_s);
    lucky += greedy.size() > 1 ? 1 : 0;
    const auto comparison = compare(problem, kNoCascade);
    EXPECT_EQ(comparison.best, Procedure::single)
        << seed << ": " << comparison.of(Procedure::weighted) << " against " << comparison.of(Procedure::single);
    EXPECT_EQ(comparison.chosen.picks, (Picks{{0, 1}}));
  }
  EXPECT_GT(lucky, 2);  // else the test would test nothing
}

TEST(HeldOut, AnEnsembleIsTakenWhereItIsReallyBetter) {
  auto problem = drawn_problem(12, 40, 3, 0.15, 7);
  for (unsigned i = 0; i < 4; ++i) problem.candidates.push_back(noisy(problem, "m", 1, 3, i));
  const auto comparison = compare(problem, kNoCascade);
  EXPECT_NE(comparison.best, Procedure::single);
  EXPECT_GT(comparison.score, comparison.of(Procedure::single) + 0.01);
  EXPECT_LE(comparison.low, comparison.score);
  EXPECT_GE(comparison.high, comparison.score);
  EXPECT_LT(comparison.high - comparison.low, 0.1);
  EXPECT_EQ(comparison.folds, 5U);
}

TEST(HeldOut, IsTheSameEveryTime) {
  auto problem = drawn_problem(6, 30, 3, 0.15, 8);
  for (unsigned i = 0; i < 3; ++i) problem.candidates.push_back(noisy(problem, "m", 1, 3, i));
  const auto once = compare(problem, {}), again = compare(problem, {});
  EXPECT_EQ(once.score, again.score);
  EXPECT_EQ(once.low, again.low);
  EXPECT_EQ(once.high, again.high);
}

TEST(HeldOut, NeedsASecondRecording) {
  auto problem = drawn_problem(1, 30, 3, 0.15, 9);
  problem.candidates.push_back(noisy(problem, "m", 1, 3, 1));
  try {
    (void)compare(problem, kNoCascade);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("1 validation recording, expected 2 or more"));
  }
}

TEST(Gains, AreWhatTheEnsembleLosesWithoutEachMember) {
  auto problem = drawn_problem(4, 60, 3, 0.2, 10);
  problem.candidates.push_back(noisy(problem, "good", 1, 1.5, 1));
  problem.candidates.push_back(noisy(problem, "poor", 1, 6, 2));
  Selector selector(problem);
  const Picks both = {{0, 2}, {1, 1}};
  const auto gains = gains_of(selector, both);
  EXPECT_DOUBLE_EQ(gains.at(0), selector.score(both) - selector.score({{1, 1}}));
  EXPECT_GT(gains.at(0), gains.at(1));
  EXPECT_GE(gains.at(1), 0);
  EXPECT_EQ(gains_of(selector, {{0, 1}}), std::vector<double>{0});
}

TEST(Pareto, KeepsWhatNothingBeatsInBoth) {
  const auto front = undominated({{3, 0.8, {}}, {1, 0.6, {}}, {2, 0.5, {}}, {4, 0.8, {}}, {1, 0.7, {}}, {5, 0.9, {}}});
  std::vector<std::pair<double, double>> points;
  for (const auto& point : front) points.emplace_back(point.wall_s, point.score);
  EXPECT_THAT(points, ::testing::ElementsAre(std::pair(1, 0.7), std::pair(3, 0.8), std::pair(5, 0.9)));
}

TEST(Pareto, ReachesFromTheCheapestModelToTheBestEnsemble) {
  auto problem = drawn_problem(4, 60, 3, 0.2, 11);
  for (unsigned i = 0; i < 5; ++i) problem.candidates.push_back(noisy(problem, "m", 1 + 2 * i, 3.5 - 0.3 * i, i));
  Selector selector(problem);
  const auto front = pareto_front(problem, selector);
  EXPECT_EQ(front.front().picks, (Picks{{0, 1}}));
  EXPECT_DOUBLE_EQ(front.back().score, selector.score(selector.best_weighted(1e9)));
  for (std::size_t i = 1; i < front.size(); ++i) {
    EXPECT_GT(front[i].wall_s, front[i - 1].wall_s);
    EXPECT_GT(front[i].score, front[i - 1].score);
  }
}

}  // namespace
}  // namespace whimbrel
