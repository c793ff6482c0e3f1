#include "pipeline/mean.h"

#include <gmock/gmock.h>

#include <cmath>

namespace whimbrel {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::FloatNear;

std::vector<float> mean_of(Mean kind, std::vector<double> weights, std::vector<std::vector<float>> rows, double power = 2) {
  std::vector<float> out(2);
  combine(kind, power, weights, rows, out);
  return out;
}

const std::vector<std::vector<float>> kTwo = {{0.2F, 1.0F}, {0.8F, 0.0F}};

TEST(Combine, IsTheWeightedArithmeticMean) {
  EXPECT_THAT(mean_of(Mean::arithmetic, {1, 3}, {{0.2F, 1.0F}, {0.6F, 0.0F}}), ElementsAre(FloatEq(0.5F), FloatEq(0.25F)));
}

TEST(Combine, IsTheWeightedGeometricMean) {
  const auto mean = mean_of(Mean::geometric, {1, 1}, kTwo);
  EXPECT_FLOAT_EQ(mean[0], 0.4F);                  // sqrt(0.2 * 0.8)
  EXPECT_THAT(mean[1], FloatNear(1e-6F, 1e-12F));  // a zero counts as 1e-12
  EXPECT_FLOAT_EQ(mean_of(Mean::geometric, {1, 3}, kTwo)[0], std::pow(0.2F * 0.8F * 0.8F * 0.8F, 0.25F));
}

TEST(Combine, IsTheWeightedPowerMean) {
  EXPECT_THAT(mean_of(Mean::power, {1, 1}, kTwo, 2), ElementsAre(FloatEq(std::sqrt(0.34F)), FloatEq(std::sqrt(0.5F))));
  EXPECT_THAT(mean_of(Mean::power, {1, 3}, kTwo, 1), ElementsAre(FloatEq(0.65F), FloatEq(0.25F)));
}

TEST(Combine, OfEqualScoresIsThatScore) {
  for (const Mean kind : {Mean::arithmetic, Mean::geometric, Mean::power}) {
    EXPECT_THAT(mean_of(kind, {0.3, 0.5, 0.7}, {{0.1F, 1}, {0.1F, 1}, {0.1F, 1}}), ElementsAre(FloatEq(0.1F), FloatEq(1)));
  }
}

TEST(Combine, OfTheOnlyMemberIsItsScoreToTheBit) {
  for (const Mean kind : {Mean::arithmetic, Mean::geometric, Mean::power}) {
    EXPECT_THAT(mean_of(kind, {0.3}, {{0.1F, 0.7F}}), ElementsAre(0.1F, 0.7F));
    EXPECT_THAT(mean_of(kind, {0.3, 0.7}, {{}, {0.1F, 0.7F}}), ElementsAre(0.1F, 0.7F));
  }
}

TEST(Combine, LeavesOutMembersThatAreAbsent) {
  EXPECT_EQ(mean_of(Mean::arithmetic, {1, 9, 3}, {kTwo[0], {}, kTwo[1]}), mean_of(Mean::arithmetic, {1, 3}, kTwo));
}

TEST(Combine, NeedsAMemberAndNoRanks) {
  EXPECT_THROW(mean_of(Mean::arithmetic, {1}, {{}}), Error);
  EXPECT_THROW(mean_of(Mean::rank, {1, 1}, kTwo), Error);
}

}  // namespace
}  // namespace whimbrel
