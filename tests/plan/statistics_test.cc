#include "plan/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace whimbrel::plan {
namespace {

TEST(Statistics, PercentilesAreThoseOfNumPy) {
  const std::vector<double> values = {4, 1, 3, 2, 10};
  EXPECT_DOUBLE_EQ(percentile(values, 0), 1);
  EXPECT_DOUBLE_EQ(percentile(values, 0.5), 3);
  EXPECT_DOUBLE_EQ(percentile(values, 0.9), 7.6);  // numpy.percentile(values, 90)
  EXPECT_DOUBLE_EQ(percentile(values, 1), 10);
  EXPECT_DOUBLE_EQ(percentile({7}, 0.99), 7);
}

// Order statistics: of nine values the second and the second last, 1 - 2 * (1 + 9) / 512 = 96 %.
TEST(Statistics, IntervalOfTheMedianIsBetweenTwoValues) {
  const auto nine = median_of({9, 8, 7, 6, 5, 4, 3, 2, 1});
  EXPECT_EQ(nine.value, 5);
  EXPECT_EQ(nine.low, 2);
  EXPECT_EQ(nine.high, 8);
  const auto three = median_of({3, 1, 2});
  EXPECT_EQ(three.low, 1);
  EXPECT_EQ(three.high, 3);
  const auto one = median_of({4});
  EXPECT_EQ(one.low, 4);
  EXPECT_EQ(one.high, 4);
}

TEST(Statistics, IntervalHoldsTheMedianAsOftenAsItSays) {
  std::mt19937 random(1);
  std::exponential_distribution<double> skewed(1);
  for (const int n : {6, 9, 20, 50}) {
    int held = 0;
    for (int i = 0; i < 4000; ++i) {
      std::vector<double> values(static_cast<std::size_t>(n));
      for (double& value : values) value = skewed(random);
      const auto estimate = median_of(values);
      held += estimate.low <= std::log(2.0) && std::log(2.0) <= estimate.high ? 1 : 0;
    }
    // At least 95 %, less four standard errors of 4000 draws.
    EXPECT_GE(held, 4000 * 0.95 - 4 * std::sqrt(4000 * 0.95 * 0.05)) << n;
  }
}

TEST(Statistics, IntervalsThatTouchAreNotApart) {
  EXPECT_TRUE(are_apart({10, 9, 11}, {7, 6, 8}));
  EXPECT_TRUE(are_apart({7, 6, 8}, {10, 9, 11}));
  EXPECT_FALSE(are_apart({10, 8, 11}, {7, 6, 8}));
  EXPECT_FALSE(are_apart({10, 8, 11}, {9, 8.5, 9.5}));
}

}  // namespace
}  // namespace whimbrel::plan
