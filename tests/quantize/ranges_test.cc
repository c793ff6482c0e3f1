#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <map>
#include <numbers>
#include <random>

#include "quantize/observer.h"
#include "reference/ranges.h"

namespace whimbrel::quantize {
namespace {

constexpr Observer kAll[] = {Observer::minmax, Observer::percentile, Observer::entropy, Observer::mse};

double identity(double x) { return x; }
double relu(double x) { return std::max(x, 0.0); }
double silu(double x) { return x / (1 + std::exp(-x)); }

/// n values of a normal distribution, each through f.
Histogram normal(std::size_t n, double deviation, double (*f)(double) = identity, double mean = 0) {
  std::mt19937 random(5);
  std::normal_distribution<double> draw(mean, deviation);
  std::vector<float> values(n);
  for (float& x : values) x = static_cast<float>(f(draw(random)));
  Histogram h;
  h.add(values);
  return h;
}

Histogram heavy_tailed(std::size_t n) {
  std::mt19937 random(6);
  std::student_t_distribution<float> draw(3);
  std::vector<float> values(n);
  for (float& x : values) x = draw(random);
  Histogram h;
  h.add(values);
  return h;
}

std::vector<Histogram> examples() {
  return {normal(300, 1),  normal(300, 1, relu),        normal(300, 3, silu),
          normal(300, 20), normal(300, 1, identity, 2), heavy_tailed(300)};
}

/// Bins that a range keeps on the left and right of zero.
std::pair<int, int> kept(const Histogram& h, const Range& range) {
  const double width = 2 * h.limit() / Histogram::kBins;
  return {static_cast<int>(std::ceil(-range.low / width)), static_cast<int>(std::ceil(range.high / width))};
}

/// Of the bin that is i bins away from zero on one side (-1 or 1).
std::int64_t count(const Histogram& h, int i, int side) {
  const int bin = Histogram::kBins / 2 + (side > 0 ? i : -1 - i);
  return h.bins()[static_cast<std::size_t>(bin)];
}

std::int64_t sum_beyond(const Histogram& h, int bins, int side) {
  std::int64_t sum = 0;
  for (int i = bins; i < Histogram::kBins / 2; ++i) sum += count(h, i, side);
  return sum;
}

TEST(ChooseRange, ContainsZeroAndStaysWithinTheValues) {
  for (const Histogram& h : examples()) {
    for (const Observer observer : kAll) {
      const Range range = choose_range(h, observer);
      EXPECT_LE(range.low, 0);
      EXPECT_GE(range.high, 0);
      EXPECT_LT(range.low, range.high);
      EXPECT_GE(range.low, std::min(h.min(), 0.0F));
      EXPECT_LE(range.high, std::max(h.max(), 0.0F));
    }
  }
}

TEST(ChooseRange, IsZeroToOneWithoutOtherValuesThanZero) {
  Histogram zeros;
  zeros.add(std::vector<float>(10, -0.0F));
  for (const Observer observer : kAll) {
    EXPECT_EQ(choose_range({}, observer), (Range{0, 1}));
    EXPECT_EQ(choose_range(zeros, observer), (Range{0, 1}));
  }
}

TEST(ChooseRange, KeepsTheOnlyValueThatThereIs) {
  for (const float x : {3.0F, -0.7F, 1.0F, 1e-30F, -1e-45F, std::numeric_limits<float>::max()}) {
    Histogram h;
    h.add(std::vector<float>(100, x));
    for (const Observer observer : {Observer::minmax, Observer::percentile, Observer::entropy}) {
      EXPECT_EQ(choose_range(h, observer), (Range{std::min(x, 0.0F), std::max(x, 0.0F)})) << x;
    }
    const Range range = choose_range(h, Observer::mse);  // any range with a level close to x will do
    // A bin, because where in it the values lie is not known, and float32's rounding.
    const double tolerance = 2.01 * h.limit() / Histogram::kBins;
    EXPECT_NEAR(fake_quantize(x, affine_of(range)), x, tolerance);
  }
}

TEST(ChooseRange, MinmaxKeepsEveryValue) {
  for (const Histogram& h : examples()) {
    EXPECT_EQ(choose_range(h, Observer::minmax), (Range{std::min(h.min(), 0.0F), std::max(h.max(), 0.0F)}));
  }
}

TEST(ChooseRange, PercentileCutsAsMuchAsItMayOfEachSide) {
  for (const Histogram& h : {normal(30000, 1), normal(30000, 1, relu), normal(30000, 3, silu), heavy_tailed(300000)}) {
    const auto [left, right] = kept(h, choose_range(h, Observer::percentile));
    EXPECT_LE(sum_beyond(h, left, -1), 1e-4 * sum_beyond(h, 0, -1));
    EXPECT_LE(sum_beyond(h, right, 1), 1e-4 * sum_beyond(h, 0, 1));
    if (left > 0) {
      EXPECT_GT(sum_beyond(h, left - 1, -1), 1e-4 * sum_beyond(h, 0, -1));
    }
    EXPECT_GT(sum_beyond(h, right - 1, 1), 1e-4 * sum_beyond(h, 0, 1));
  }
}

TEST(ChooseRange, PercentileIsThatOfTheNormalDistribution) {
  // Half of 0.01 % beyond on each side: 3.8906 deviations. Expected: 50 values of a million there, so 14 % uncertain, which is
  // 0.14 / 3.9 deviations; and a bin of 8 / 2048.
  const Range range = choose_range(normal(1000000, 1), Observer::percentile);
  EXPECT_NEAR(range.high, 3.8906, 0.1);
  EXPECT_NEAR(range.low, -3.8906, 0.1);
}

TEST(ChooseRange, EntropyIsTheLeastDivergenceOnTheGrid) {
  Histogram narrow = normal(20000, 0.02, relu);  // some 20 bins, fewer than any range may keep
  narrow.add(std::vector<float>{8});
  // Clipping the clusters changes well filled bins and is still better than levels of 16 bins.
  Histogram clusters = normal(20000, 1, [](double x) { return std::erf(x / std::numbers::sqrt2); });  // even over [-1, 1]
  clusters.add(std::vector<float>(50, -7.4F));
  clusters.add(std::vector<float>(50, 7.7F));
  for (const Histogram& h : {narrow, clusters, normal(20000, 3, silu), heavy_tailed(20000)}) {
    const auto filled = [&](int bins, int side) {  // moved inwards to a bin with values
      while (bins > 0 && count(h, bins - 1, side) == 0) --bins;
      return bins;
    };
    const bool left_side = h.min() < 0;
    std::map<std::pair<int, int>, double> known;  // moved, many are the same
    const double least = reference::least_on_grid(h, [&](int left, int right) {
      left = filled(left, -1), right = filled(right, 1);
      if (left + right < 256 || (left_side && left == 0) || right == 0) return std::numeric_limits<double>::infinity();
      const auto [at, is_new] = known.try_emplace({left, right});
      if (is_new) at->second = reference::divergence(h, left, right);
      return at->second;
    });
    const auto [left, right] = kept(h, choose_range(h, Observer::entropy));
    EXPECT_NEAR(reference::divergence(h, left, right), least, 1e-12);  // sums of some thousand doubles in another order
  }
}

TEST(ChooseRange, EntropyClipsFewOutliersButNotADistribution) {
  auto values = std::vector<float>(100000);
  std::mt19937 random(8);
  std::uniform_real_distribution<float> draw(-1, 1);
  for (float& x : values) x = draw(random);
  Histogram h;
  h.add(values);
  const Range uniform = choose_range(h, Observer::entropy);
  EXPECT_LT(uniform.low, -0.95);
  EXPECT_GT(uniform.high, 0.95);
  h.add(std::vector<float>{8});
  EXPECT_LT(choose_range(h, Observer::entropy).high, 1.2);
}

TEST(ChooseRange, EntropyIsNotMisledByTheZerosOfRelu) {
  EXPECT_GT(choose_range(normal(30000, 1, relu), Observer::entropy).high, 3);
}

TEST(ChooseRange, MseIsTheBestOfAllRangesOnTheGrid) {
  for (const Histogram& h : examples()) {
    for (const auto f : {identity, silu}) {
      const double width = 2 * h.limit() / Histogram::kBins;
      const double least = reference::least_on_grid(h, [&](int left, int right) {
        if (left + right == 0) return std::numeric_limits<double>::infinity();
        const double low = std::min(0.0, std::max(-left * width, static_cast<double>(h.min())));
        const double high = std::max(0.0, std::min(right * width, static_cast<double>(h.max())));
        return reference::squared_error(h, {static_cast<float>(low), static_cast<float>(high)}, f);
      });
      const double found = reference::squared_error(h, choose_range(h, Observer::mse, f), f);
      // The slow version rounds ties and positions in float32 and calls f where the fast one interpolates a table.
      EXPECT_LE(found, least * 1.001);
      EXPECT_GT(found, least * 0.5);  // finer steps after the grid gain little
    }
  }
}

TEST(ChooseRange, MseWithoutAFunctionIsMseBehindTheIdentity) {
  for (const Histogram& h : examples()) {
    EXPECT_EQ(choose_range(h, Observer::mse), choose_range(h, Observer::mse, identity));
  }
}

TEST(ChooseRange, MseClipsNeitherSideOfAUniformDistribution) {
  std::vector<float> values;
  for (int i = -1000; i <= 3000; ++i) values.push_back(static_cast<float>(i) / 1000);
  Histogram h;
  h.add(values);
  const Range range = choose_range(h, Observer::mse);
  EXPECT_NEAR(range.low, -1, 4.0 / 255);  // one level
  EXPECT_NEAR(range.high, 3, 4.0 / 255);
}

TEST(ChooseRange, MseBehindSiluClipsWhatSiluFlattens) {
  for (const double deviation : {15.0, 20.0, 30.0}) {
    const Histogram h = normal(200000, deviation);
    EXPECT_LT(choose_range(h, Observer::mse).low, -3 * deviation);
    const Range range = choose_range(h, Observer::mse, silu);
    EXPECT_LT(range.low, -5);
    EXPECT_GT(range.low, -10);
    EXPECT_GT(range.high, 3 * deviation);
  }
}

TEST(ChooseRange, MseBehindReluSpendsNoLevelOnNegativeValues) {
  const Range range = choose_range(normal(200000, 1), Observer::mse, relu);
  EXPECT_EQ(affine_of(range).zero_point, 0);
  EXPECT_GT(range.high, 3);
}

TEST(ChooseRange, KeepsAllWhereTheFunctionHasNoValue) {
  const Histogram h = normal(1000, 1);
  EXPECT_EQ(choose_range(h, Observer::mse, [](double) { return std::nan(""); }), (Range{h.min(), h.max()}));
}

}  // namespace
}  // namespace whimbrel::quantize
