#include "quantize/observer.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "reference/ranges.h"

namespace whimbrel::quantize {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr std::size_t kZeroBin = Histogram::kBins / 2;

std::vector<float> normal(std::size_t n, float deviation, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw(0, deviation);
  std::vector<float> values(n);
  for (float& x : values) x = draw(random);
  return values;
}

Histogram histogram_of(std::span<const float> values) {
  Histogram h;
  h.add(values);
  return h;
}

void expect_same(const Histogram& a, const Histogram& b) {
  EXPECT_EQ(a.bins(), b.bins());
  EXPECT_EQ(a.limit(), b.limit());
  EXPECT_EQ(a.count(), b.count());
  EXPECT_EQ(a.non_finite(), b.non_finite());
  EXPECT_EQ(a.min(), b.min());
  EXPECT_EQ(a.max(), b.max());
}

/// Four magnitudes, and everything that lies on an edge.
std::vector<float> awkward_values() {
  std::vector<float> values = {0, -0.0F, 1e-40F, -1e-40F, 1e-30F, -1e-30F};
  for (const float deviation : {1e-3F, 0.1F, 1.0F, 30.0F}) {
    for (const float x : normal(300, deviation)) values.push_back(x);
  }
  for (int i = -64; i <= 64; ++i) values.push_back(static_cast<float>(i) / 2);
  for (int i = -40; i <= 6; ++i) {
    for (const float x : {std::ldexp(1.0F, i), std::nextafter(std::ldexp(1.0F, i), 1e9F)}) values.insert(values.end(), {x, -x});
  }
  return values;
}

TEST(FakeQuantize, IsTheExampleOfTheOnnxOperator) {
  // test_quantizelinear of ONNX: 128, 129, 130, 255, 1, 0.
  std::vector<float> found;
  for (const float x : {0.F, 2.F, 3.F, 1000.F, -254.F, -1000.F}) found.push_back(fake_quantize(x, {2, 128}));
  EXPECT_THAT(found, ElementsAre(0, 2, 4, 254, -254, -256));
}

TEST(FakeQuantize, RoundsHalfToEvenAndSaturates) {
  const Affine affine{1, 10};
  std::vector<float> found;
  for (const float x : {0.5F, 1.5F, 2.5F, -0.5F, -1.5F, -10.6F, 244.5F, 245.5F}) found.push_back(fake_quantize(x, affine));
  EXPECT_THAT(found, ElementsAre(0, 2, 2, 0, -2, -10, 244, 245));
  EXPECT_EQ(fake_quantize(kInfinity, affine), 245);
  EXPECT_EQ(fake_quantize(-kInfinity, affine), -10);
  EXPECT_EQ(fake_quantize(kNan, affine), 245);
}

TEST(AffineOf, IsTheExamplesOfDynamicQuantizeLinear) {
  // ONNX's tests of DynamicQuantizeLinear; their ranges were extended to 0.
  EXPECT_EQ(affine_of({-3, 2}), (Affine{0.0196078438F, 153}));
  EXPECT_EQ(affine_of({-4, 0}), (Affine{0.0156862754F, 255}));
  EXPECT_EQ(affine_of({0, 4}), (Affine{0.0156862754F, 0}));
}

TEST(AffineOf, StaysANormalNumberForAnyRange) {
  constexpr float kMax = std::numeric_limits<float>::max();
  EXPECT_EQ(affine_of({0, 1e-45F}).scale, std::numeric_limits<float>::min());
  EXPECT_EQ(affine_of({-1e-45F, 0}), (Affine{std::numeric_limits<float>::min(), 0}));
  EXPECT_TRUE(std::isfinite(affine_of({-kMax, kMax}).scale));
  EXPECT_NEAR(affine_of({-kMax, kMax}).zero_point, 127.5, 0.5);
}

TEST(AffineOf, KeepsZeroExact) {
  for (const float low : {0.0F, -0.1F, -0.3333F, -7.7F, -1e6F}) EXPECT_EQ(fake_quantize(0, affine_of({low, 3.1F})), 0);
}

TEST(Histogram, CountsAsItsBinsAreDefined) {
  const auto values = awkward_values();
  const Histogram h = histogram_of(values);
  EXPECT_EQ(h.limit(), reference::limit(values));
  EXPECT_EQ(h.bins(), reference::bins(values));
}

TEST(Histogram, CountsBlocksOfAnySizeAlike) {
  for (const std::size_t n : {1U, 2U, 3U, 5U, 1023U, 1025U, 8191U, 8192U, 8193U, 65537U, 200001U}) {
    const auto values = normal(n, 2);
    const Histogram h = histogram_of(values);
    Histogram one_by_one;
    for (const float& x : values) one_by_one.add({&x, 1});
    expect_same(h, one_by_one);
    EXPECT_EQ(std::accumulate(h.bins().begin(), h.bins().end(), std::int64_t{0}), static_cast<std::int64_t>(n));
  }
}

TEST(Histogram, DoesNotDependOnTheOrderOfTheValues) {
  auto values = awkward_values();
  const Histogram expected = histogram_of(values);
  std::mt19937 random(3);
  for (int trial = 0; trial < 20; ++trial) {
    std::shuffle(values.begin(), values.end(), random);
    Histogram h;
    for (std::size_t begin = 0; begin < values.size(); begin += 7) {
      h.add(std::span(values).subspan(begin, std::min<std::size_t>(7, values.size() - begin)));
    }
    expect_same(h, expected);
  }
}

TEST(Histogram, DoesNotDependOnHowTheValuesWereSplit) {
  auto values = awkward_values();
  const Histogram expected = histogram_of(values);
  std::sort(values.begin(), values.end(), [](float a, float b) { return std::abs(a) < std::abs(b); });
  for (const std::size_t cut : {std::size_t{0}, std::size_t{1}, values.size() / 2, values.size()}) {
    const Histogram small = histogram_of(std::span(values).first(cut));
    const Histogram large = histogram_of(std::span(values).subspan(cut));
    Histogram up = small, down = large;
    up.merge(large);
    down.merge(small);
    expect_same(up, expected);
    expect_same(down, expected);
  }
}

TEST(Histogram, CanBeMergedWithItself) {
  const std::vector<float> values = {-1, 0.3F, 0.3F, kNan};
  Histogram h = histogram_of(values);
  h.merge(h);
  EXPECT_EQ(h.count(), 6);
  EXPECT_EQ(h.non_finite(), 2);
  EXPECT_EQ(h.bins()[0], 2);
}

TEST(Histogram, LimitIsTheSmallestPowerOfTwoThatHoldsAllValues) {
  for (const auto& [x, limit] :
       {std::pair{0.75F, 1.0}, {-1.0F, 1.0}, {1.0F, 1.0}, {1.0001F, 2.0}, {-6.0F, 8.0}, {0.2F, 0.25}}) {
    EXPECT_EQ(histogram_of(std::vector<float>{x}).limit(), limit) << x;
  }
}

TEST(Histogram, HasABinForBothOfItsLimits) {
  const Histogram h = histogram_of(std::vector<float>{-4, 4, 0});
  EXPECT_EQ(h.bins().front(), 1);
  EXPECT_EQ(h.bins().back(), 1);
  EXPECT_EQ(h.bins()[kZeroBin], 1);
}

TEST(Histogram, CountsWhatIsNotFiniteApart) {
  for (const std::size_t n : {10U, 20000U}) {
    auto values = normal(n, 1);
    const Histogram clean = histogram_of(values);
    values.insert(values.begin() + 3, {kNan, -kNan, kInfinity, -kInfinity});
    Histogram h = histogram_of(values);
    EXPECT_EQ(h.non_finite(), 4);
    h.merge(histogram_of(std::vector<float>{kNan}));
    EXPECT_EQ(h.non_finite(), 5);
    EXPECT_EQ(h.bins(), clean.bins());
    EXPECT_EQ(h.count(), clean.count());
    EXPECT_EQ(h.min(), clean.min());
    EXPECT_EQ(h.max(), clean.max());
  }
}

TEST(Histogram, HoldsTheLargestAndTheSmallestFloats) {
  const float largest = std::numeric_limits<float>::max(), smallest = std::numeric_limits<float>::denorm_min();
  Histogram h = histogram_of(std::vector<float>{smallest, -smallest});
  EXPECT_EQ(h.limit(), Histogram::kSmallestLimit);
  h.add(std::vector<float>{largest, -largest});
  EXPECT_EQ(h.limit(), std::ldexp(1, 128));
  for (const std::size_t bin : {std::size_t{0}, kZeroBin - 1, kZeroBin, kZeroBin * 2 - 1}) EXPECT_EQ(h.bins()[bin], 1);
}

TEST(Histogram, IsZeroWhenNothingWasAdded) {
  Histogram h = histogram_of({});
  h.merge(Histogram{});
  expect_same(h, Histogram{});
  EXPECT_EQ(h.count(), 0);
  EXPECT_EQ(h.limit(), 0);
  EXPECT_EQ(h.min(), 0);
  EXPECT_EQ(h.bins().size(), static_cast<std::size_t>(Histogram::kBins));
  EXPECT_THAT(h.bins(), Each(0));
}

}  // namespace
}  // namespace whimbrel::quantize
