#include "plan/select.h"

#include <gmock/gmock.h>

#include "plan/procedures.h"
#include "problems.h"
#include "whimbrel/core.h"

namespace whimbrel {
namespace {

using ::testing::HasSubstr;

constexpr double kNoLimit = 1e9;

/// One class of four windows, of which the first two hold it.
Problem four_windows() {
  Problem problem;
  problem.validation = {1, {1, 1, 0, 0}, {0, 0, 1, 1}};
  problem.cost = {.front_end_s = {0}, .windows = 1, .workers = 1};
  problem.budget_s = kNoLimit;
  return problem;
}

void add(Problem& problem, double cost_s, std::vector<float> scores) {
  const auto n = problem.candidates.size();
  problem.candidates.push_back({std::string(1, static_cast<char>('a' + n)), n, 0, cost_s, 0, std::move(scores)});
}

TEST(Select, FindsTwoModelsThatAreRightTogether) {
  auto problem = four_windows();
  add(problem, 1, {0.9F, 0.3F, 0.4F, 0.1F});  // misses the second
  add(problem, 1, {0.3F, 0.9F, 0.1F, 0.4F});  // misses the first
  add(problem, 1, {0.1F, 0.1F, 0.9F, 0.9F});  // always wrong
  Selector selector(problem);
  EXPECT_DOUBLE_EQ(selector.score({{0, 1}}), 0.75);
  const auto best = selector.best_weighted(kNoLimit);
  EXPECT_EQ(best, (Picks{{0, 1}, {1, 1}}));
  EXPECT_DOUBLE_EQ(selector.score(best), 1);
}

TEST(Select, PicksAModelAgainWhereItDeservesMoreWeight) {
  auto problem = four_windows();
  add(problem, 1, {0.9F, 0.5F, 0.55F, 0.1F});  // nearly right
  add(problem, 1, {0.1F, 0.9F, 0.0F, 0.95F});  // right about the second, loud and wrong elsewhere
  Selector selector(problem);
  EXPECT_LT(selector.score({{0, 1}, {1, 1}}), 1);  // 0.5, 0.7, 0.275, 0.525
  const auto best = selector.best_weighted(kNoLimit);
  EXPECT_DOUBLE_EQ(selector.score(best), 1);
  EXPECT_GT(best.at(0), best.at(1));
}

TEST(Select, TakesTheBestThatFitsTheBudget) {
  auto problem = drawn_problem(4, 50, 3, 0.2, 1);
  problem.candidates.push_back(noisy(problem, "large", 10, 1, 1));
  problem.candidates.push_back(noisy(problem, "small", 3, 2.5, 2));
  problem.candidates.push_back(noisy(problem, "other", 3, 2.5, 3));
  Selector selector(problem);
  EXPECT_EQ(selector.best_single(kNoLimit), (Picks{{0, 1}}));
  EXPECT_TRUE(selector.best_weighted(2.9).empty());
  EXPECT_EQ(selector.best_weighted(3).size(), 1U);
  const auto two = selector.best_weighted(9.9);
  EXPECT_TRUE(two.contains(1) && two.contains(2) && !two.contains(0));
  EXPECT_TRUE(selector.best_weighted(10).contains(0) || selector.score(two) > selector.score({{0, 1}}));
}

TEST(Select, IsNotTrappedByAGoodModelThatLeavesNoRoom) {
  auto problem = drawn_problem(4, 60, 3, 0.2, 2);
  problem.candidates.push_back(noisy(problem, "large", 9, 2.2, 1));
  for (unsigned i = 0; i < 4; ++i) problem.candidates.push_back(noisy(problem, "small", 2, 2.6, 10 + i));
  Selector selector(problem);
  ASSERT_EQ(selector.best_single(10), (Picks{{0, 1}}));
  const auto best = selector.best_weighted(10);
  EXPECT_FALSE(best.contains(0));
  EXPECT_GT(selector.score(best), selector.score({{0, 1}}));
}

TEST(Select, NeverScoresBelowTheSimplerWays) {
  auto problem = drawn_problem(4, 40, 4, 0.15, 3);
  for (unsigned i = 0; i < 6; ++i) problem.candidates.push_back(noisy(problem, "m", 1 + i, 2 + 0.2 * i, 20 + i));
  Selector selector(problem);
  for (const double budget : {1.0, 3.0, 7.0, 12.0, 21.0}) {
    const double weighted = selector.score(selector.best_weighted(budget));
    const double equal = selector.score(selector.best_equal(budget));
    EXPECT_GE(weighted, equal) << budget;
    EXPECT_GE(equal, selector.score(selector.best_single(budget))) << budget;
    EXPECT_LE(problem.wall_s(selector.best_weighted(budget)), budget);
  }
}

TEST(Select, OfEqualModelsTakesTheCheapest) {
  auto problem = four_windows();
  add(problem, 5, {0.9F, 0.8F, 0.1F, 0.2F});
  add(problem, 2, {0.9F, 0.8F, 0.1F, 0.2F});
  add(problem, 3, {0.8F, 0.9F, 0.1F, 0.2F});
  Selector selector(problem);
  EXPECT_EQ(selector.best_single(kNoLimit), (Picks{{1, 1}}));
  EXPECT_EQ(selector.best_weighted(kNoLimit), (Picks{{1, 1}}));
}

TEST(Select, TakesOneFormOfAModelOnly) {
  auto problem = drawn_problem(4, 40, 3, 0.2, 4);
  problem.candidates.push_back(noisy(problem, "fp32", 5, 2, 1));
  problem.candidates.push_back(noisy(problem, "int8", 3, 2, 2));
  problem.candidates[1].model = 0;
  Selector selector(problem);
  EXPECT_EQ(selector.best_weighted(kNoLimit).size(), 1U);
  EXPECT_EQ(selector.best_equal(kNoLimit).size(), 1U);
}

TEST(Select, SaysWhenNothingCanBeScored) {
  auto problem = four_windows();
  problem.validation.truth = {0, 0, 0, 0};
  add(problem, 1, {0.9F, 0.8F, 0.1F, 0.2F});
  Selector selector(problem);
  try {
    (void)selector.best_single(kNoLimit);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("both positive and negative"));
  }
}

TEST(Cost, CountsDecodingOnceAndEachFrontEndOnce) {
  Problem problem;
  problem.cost = {.start_s = 1, .decode_s = 0.01, .front_end_s = {0.1, 0.2}, .windows = 100, .workers = 2};
  for (std::size_t i = 0; i < 3; ++i) problem.candidates.push_back({"m", i, i == 2 ? 1U : 0U, 1.0, 0.5, {}});
  EXPECT_DOUBLE_EQ(problem.wall_s({{0, 1}}), 1 + 0.5 + 50 * 1.11);
  EXPECT_DOUBLE_EQ(problem.wall_s({{0, 3}, {1, 1}}), 1 + 1.0 + 50 * 2.11);
  EXPECT_DOUBLE_EQ(problem.wall_s({{0, 1}, {1, 1}, {2, 1}}), 1 + 1.5 + 50 * 3.31);
  problem.cost.slowdown = 1.1;
  EXPECT_DOUBLE_EQ(problem.wall_s({{0, 1}}), 1 + 0.5 + 55 * 1.11);
}

TEST(Cost, OfACascadeCountsTheShareThatPasses) {
  Problem problem;
  problem.cost = {.front_end_s = {0.1}, .windows = 100, .workers = 1};
  problem.candidates = {{"gate", 0, 0, 1, 0, {}}, {"large", 1, 0, 10, 0, {}}};
  EXPECT_DOUBLE_EQ(problem.wall_s({{0, 1}, {1, 1}}, PassShare{0, 0.25}), 100 * (0.1 + 1 + 2.5));
}

TEST(Parallel, ReachesEveryItemAndCarriesExceptions) {
  std::vector<int> seen(100);
  in_parallel(seen.size(), [&](std::size_t i) { seen[i] += 1; });
  EXPECT_THAT(seen, ::testing::Each(1));
  EXPECT_THROW(in_parallel(10,
                           [](std::size_t i) {
                             if (i == 3) throw Error(ErrorCode::engine, "x");
                           }),
               Error);
}

}  // namespace
}  // namespace whimbrel
