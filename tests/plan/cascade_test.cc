#include "plan/cascade.h"

#include <gmock/gmock.h>

#include "plan/procedures.h"
#include "problems.h"

namespace whimbrel {
namespace {

float probability(double logit) { return static_cast<float>(1 / (1 + std::exp(-logit))); }

/// Calls in a tenth of the windows, one class in each of these; a cheap model that hears that something calls, though not well
/// what, and two large ones that know.
Problem mostly_empty(unsigned seed) {
  auto problem = drawn_problem(10, 100, 4, 0, seed);
  std::mt19937 random(seed);
  for (std::size_t row = 0; row < problem.validation.rows(); row += 10) problem.validation.truth[row * 4 + random() % 4] = 1;
  problem.candidates.push_back(noisy(problem, "cheap", 1, 0.8, seed + 1));
  problem.candidates.push_back(noisy(problem, "large", 20, 0.6, seed + 2));
  problem.candidates.push_back(noisy(problem, "larger", 25, 0.6, seed + 3));
  std::normal_distribution<double> noise(0, 1);
  auto& cheap = problem.candidates[0].scores;
  for (std::size_t row = 0; row < problem.validation.rows(); row += 10) {
    for (std::size_t c = 0; c < 4; ++c)
      cheap[row * 4 + c] = probability((problem.validation.truth[row * 4 + c] != 0 ? 1.5 : 0.5) + noise(random));
  }
  return problem;
}

TEST(Calibrate, FindsTheLineBetweenTwoLogits) {
  std::vector<float> gate, mean;
  for (int i = 0; i < 1000; ++i) {
    const double x = -6 + 0.008 * i;
    gate.push_back(probability(x));
    mean.push_back(probability(1.7 * x - 0.6));
  }
  const auto fit = calibrate(gate, mean);
  EXPECT_NEAR(fit.slope, 1.7, 1e-3);  // the probabilities are rounded to floats
  EXPECT_NEAR(fit.offset, -0.6, 1e-3);
}

TEST(Calibrate, ConvergesFromFarAway) {
  std::vector<float> gate, mean;
  for (int i = 0; i < 500; ++i) {
    const double x = -2 + 0.004 * i;
    gate.push_back(probability(x));
    mean.push_back(probability(8 * x - 6));
  }
  const auto fit = calibrate(gate, mean);
  EXPECT_NEAR(fit.slope, 8, 0.05);
  EXPECT_NEAR(fit.offset, -6, 0.05);
}

TEST(Calibrate, LeavesAGateAsItIsThatSaysTheOppositeOrNothing) {
  std::vector<float> gate, opposite;
  for (int i = 0; i < 1000; ++i) {
    gate.push_back(probability(-4 + 0.008 * i));
    opposite.push_back(probability(4 - 0.008 * i));
  }
  EXPECT_EQ(calibrate(gate, opposite).slope, 1);
  EXPECT_EQ(calibrate({0.1F, 0.2F}, {0.2F, 0.3F}).slope, 1);
  const auto constant = calibrate(std::vector<float>(500, 0.2F), std::vector<float>(500, 0.1F));
  EXPECT_TRUE(std::isfinite(constant.slope) && std::isfinite(constant.offset));
}

TEST(Cascade, ScoresOfWindowsBelowTheThresholdAreTheGates) {
  Problem problem;
  problem.validation = {2, {0, 1, 0, 0}, {0, 1}};
  problem.candidates = {{"gate", 0, 0, 1, 0, {0.2F, 0.6F, 0.1F, 0.3F}}, {"large", 1, 0, 9, 0, {0.4F, 1.0F, 0.9F, 0.9F}}};
  const auto scores = cascade_scores(problem, {{0, 1}, {1, 1}}, {.gate = 0, .threshold = 0.6F, .slope = 2, .offset = -1});
  EXPECT_FLOAT_EQ(scores[0], 0.3F);
  EXPECT_FLOAT_EQ(scores[1], 0.8F);
  EXPECT_FLOAT_EQ(scores[2], probability(2 * std::log(0.1 / 0.9) - 1));
  EXPECT_FLOAT_EQ(scores[3], probability(2 * std::log(0.3 / 0.7) - 1));
}

TEST(Cascade, OfMostlyEmptyRecordingsCostsAThirdAndLosesNothing) {
  auto problem = mostly_empty(5);
  Selector selector(problem);
  const auto full = selector.best_weighted(1e9);
  ASSERT_TRUE(full.contains(1) || full.contains(2));
  const auto pick = best_cascade(problem, selector, CascadeMode::always, 0.002);
  ASSERT_TRUE(pick.has_value());
  EXPECT_EQ(pick->cascade.gate, 0U);
  EXPECT_GE(pick->score, selector.score(full) - 0.002);
  EXPECT_LT(pick->wall_s, problem.wall_s(full) / 3);
  EXPECT_LT(pick->share, 0.3);
}

TEST(Cascade, BringsModelsIntoABudgetThatTheyWouldNotFit) {
  auto problem = mostly_empty(6);
  problem.budget_s = 12;  // the cheap model alone, or a cascade
  Selector selector(problem);
  ASSERT_EQ(selector.best_weighted(problem.budget_s), (Picks{{0, 1}}));
  const auto pick = best_cascade(problem, selector, CascadeMode::automatic, 0);
  ASSERT_TRUE(pick.has_value());
  EXPECT_LE(pick->wall_s, problem.budget_s);
  EXPECT_GT(pick->score, selector.score({{0, 1}}) + 0.01);
  const auto comparison = compare(problem, {});
  EXPECT_EQ(comparison.best, Procedure::cascade);
  EXPECT_EQ(comparison.chosen.share, choose(problem, selector, Procedure::cascade, {}).share);
}

TEST(Cascade, IsNotThereWhereItIsNotWantedOrNoModelIsCheap) {
  auto problem = mostly_empty(7);
  Selector selector(problem);
  EXPECT_FALSE(best_cascade(problem, selector, CascadeMode::never, 0.002).has_value());
  problem.candidates.erase(problem.candidates.begin());
  Selector dear(problem);
  EXPECT_FALSE(best_cascade(problem, dear, CascadeMode::always, 0.002).has_value());
  EXPECT_FALSE(compare(problem, {CascadeMode::always, 0.002}).scores[3].has_value());
}

TEST(Cascade, IsFoundWhenAskedForWhereOneModelAloneIsBest) {
  auto problem = mostly_empty(7);
  problem.candidates[1] = noisy(problem, "large", 20, 9, 8);  // hears nothing but noise
  problem.candidates.pop_back();
  Selector selector(problem);
  ASSERT_EQ(selector.best_weighted(1e9), (Picks{{0, 1}}));
  EXPECT_FALSE(best_cascade(problem, selector, CascadeMode::automatic, 0.002));
  const auto pick = best_cascade(problem, selector, CascadeMode::always, 0.002);
  ASSERT_TRUE(pick);
  EXPECT_EQ(pick->picks, (Picks{{0, 1}, {1, 1}}));
  EXPECT_EQ(pick->cascade.gate, 0U);
}

TEST(Cascade, AnotherFormOfAMemberTakesItsPlaceAsGate) {
  auto problem = mostly_empty(8);
  problem.candidates.push_back(problem.candidates[1]);
  problem.candidates[3].cost_s = 2;  // INT8 of "large", say
  problem.candidates[3].model = problem.candidates[1].model;
  Selector selector(problem);
  const auto pick = best_cascade(problem, selector, CascadeMode::automatic, 0);
  ASSERT_TRUE(pick.has_value());
  EXPECT_FALSE(pick->picks.contains(1) && pick->picks.contains(3));
}

}  // namespace
}  // namespace whimbrel
