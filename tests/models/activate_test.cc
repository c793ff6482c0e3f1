#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "whimbrel/models.h"

namespace whimbrel {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::Pointwise;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> activated(Activation activation, std::vector<float> row, double logit_clip = 0) {
  Manifest manifest;
  manifest.activation = activation;
  manifest.logit_clip = logit_clip;
  activate(manifest, row);
  return row;
}

TEST(Activate, SigmoidIsExactToFloatOverTheWholeRange) {
  std::vector<float> logits;
  for (float x = -90; x <= 90; x += 0.37F) logits.push_back(x);
  const auto found = activated(Activation::sigmoid, logits);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double expected = 1 / (1 + std::exp(-static_cast<double>(logits[i])));
    EXPECT_NEAR(found[i], expected, 2e-7 * expected + 1e-38) << logits[i];  // 2e-7: three roundings to float32
  }
}

TEST(Activate, SigmoidStaysInRangeForHugeLogits) {
  EXPECT_THAT(activated(Activation::sigmoid, {-1e30F, -kInfinity, 0, 1e30F, kInfinity}), ElementsAre(0, 0, 0.5F, 1, 1));
}

TEST(Activate, SoftmaxSumsToOneAndDoesNotOverflow) {
  // exp(k) / sum: Python's math.exp, 1 / (1 + e^-1 + e^-2) and so on.
  EXPECT_THAT(activated(Activation::softmax, {1000, 1001, 1002}),
              Pointwise(FloatEq(), {0.09003057317F, 0.24472847105F, 0.66524095577F}));
  EXPECT_THAT(activated(Activation::softmax, {-1e30F, 3}), ElementsAre(0, 1));
  const auto many = activated(Activation::softmax, std::vector<float>(6522, -5));
  EXPECT_NEAR(std::accumulate(many.begin(), many.end(), 0.0), 1, 1e-6);  // each value is rounded to float32 alike
}

TEST(Activate, LimitsLogitsBeforeTheActivation) {
  EXPECT_THAT(activated(Activation::none, {-20, -15, 3, 15.5F, kInfinity}, 15), ElementsAre(-15, -15, 3, 15, 15));
  EXPECT_EQ(activated(Activation::sigmoid, {20}, 15), activated(Activation::sigmoid, {15}));
  EXPECT_EQ(activated(Activation::softmax, {20, 0}, 15), activated(Activation::softmax, {15, 0}));
}

TEST(Activate, LeavesScoresAloneWhenNothingIsAsked) {
  const std::vector<float> row = {-3, 0.25F, 7};
  EXPECT_EQ(activated(Activation::none, row), row);
}

TEST(Activate, KeepsANaNSoThatItIsNoticed) {
  const float nan = std::nanf("");
  for (const auto activation : {Activation::sigmoid, Activation::softmax, Activation::none}) {
    EXPECT_TRUE(std::isnan(activated(activation, {1, nan, 2}, 15)[1]));
  }
}

TEST(Activate, TakesAnEmptyRow) { EXPECT_THAT(activated(Activation::softmax, {}), ElementsAre()); }

}  // namespace
}  // namespace whimbrel
