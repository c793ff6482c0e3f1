#include "quantize/weights.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "whimbrel/core.h"

namespace whimbrel::quantize {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<float> random_weights(const WeightLayout& layout, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw(0, 0.1F);
  std::vector<float> weights(static_cast<std::size_t>(layout.outputs * layout.inputs * layout.taps));
  for (float& w : weights) w = draw(random);
  return weights;
}

/// One lane of vpmaddubsw: u8 x s8 + u8 x s8, saturated to 16 bits. True if it is the exact sum.
bool is_exact(int x0, int w0, int x1, int w1) {
  const int sum = x0 * w0 + x1 * w1;
  return std::clamp(sum, -32768, 32767) == sum;
}

bool never_saturates(int w0, int w1) {
  for (const int x0 : {0, 1, 128, 254, 255}) {
    for (const int x1 : {0, 1, 128, 254, 255}) {
      if (!is_exact(x0, w0, x1, w1)) return false;
    }
  }
  return true;
}

/// Whether a channel [inputs][taps] is safe. Rows as kernels see them are built first: the inputs of one tap, or all taps after
/// another.
bool channel_never_saturates(const std::int8_t* w, const WeightLayout& layout) {
  std::vector<int> im2col;
  for (std::int64_t tap = 0; tap < layout.taps; ++tap) {
    std::vector<int> row;
    for (std::int64_t input = 0; input < layout.inputs; ++input) row.push_back(w[input * layout.taps + tap]);
    for (std::size_t i = 0; i + 1 < row.size(); i += 2) {
      if (!never_saturates(row[i], row[i + 1])) return false;
    }
    im2col.insert(im2col.end(), row.begin(), row.end());
  }
  for (std::size_t i = 0; layout.inputs % 4 != 0 && i + 1 < im2col.size(); ++i) {
    if (!never_saturates(im2col[i], im2col[i + 1])) return false;
  }
  return true;
}

std::vector<std::int8_t> rounded(std::span<const float> weights, float scale) {
  std::vector<std::int8_t> values;
  for (const float w : weights) values.push_back(static_cast<std::int8_t>(std::nearbyint(w / scale)));
  return values;
}

const WeightLayout kLayouts[] = {{40, 16, 1}, {40, 16, 9}, {40, 4, 1}, {40, 6, 9},
                                 {40, 7, 4},  {40, 3, 25}, {40, 2, 1}, {9, 31, 1}};

template <class F>
std::string refusal(F&& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

TEST(Weights, HaveOneScaleForEachOutput) {
  const auto q = quantize_weights(std::vector<float>{1, -0.5F, 2.54F, 0, -12.7F, 0.1F}, {3, 2, 1}, false);
  EXPECT_THAT(q.values, ElementsAre(127, -64, 127, 0, -127, 1));  // -63.5 to even
  EXPECT_THAT(q.scales, ElementsAre(1 / 127.F, 0.02F, 0.1F));
  EXPECT_THAT(q.narrowed, Each(false));
}

TEST(Weights, RoundToNearestEven) {
  const auto q = quantize_weights(std::vector<float>{127, 0.5F, 1.5F, 2.5F, -0.5F, -1.5F, -2.5F, 3.4F}, {1, 8, 1}, false);
  EXPECT_THAT(q.values, ElementsAre(127, 0, 2, 2, 0, -2, -2, 3));
}

TEST(Weights, AreRestoredWithinHalfAStep) {
  for (const WeightLayout& layout : kLayouts) {
    for (const bool no_saturation : {false, true}) {
      const auto weights = random_weights(layout, 1);
      const auto q = quantize_weights(weights, layout, no_saturation);
      const std::size_t size = weights.size() / static_cast<std::size_t>(layout.outputs);
      for (std::size_t i = 0; i < weights.size(); ++i) {
        const float scale = q.scales[i / size];
        EXPECT_NEAR(scale * static_cast<float>(q.values[i]), weights[i], 0.50001 * scale);  // float32's rounding
      }
    }
  }
}

TEST(Weights, NeverSaturateAPairOfProducts) {
  for (const WeightLayout& layout : kLayouts) {
    int unsafe = 0;
    for (unsigned seed = 0; seed < 20; ++seed) {
      const auto weights = random_weights(layout, seed);
      const auto wide = quantize_weights(weights, layout, false);
      const auto q = quantize_weights(weights, layout, true);
      const std::size_t size = weights.size() / static_cast<std::size_t>(layout.outputs);
      for (std::size_t begin = 0; begin < weights.size(); begin += size) {
        EXPECT_TRUE(channel_never_saturates(&q.values[begin], layout));
        unsafe += channel_never_saturates(&wide.values[begin], layout) ? 0 : 1;
      }
    }
    EXPECT_GT(unsafe, 0) << "nothing was tested";
  }
}

TEST(Weights, NarrowOnlyTheChannelsThatNeedIt) {
  for (const WeightLayout& layout : kLayouts) {
    const auto weights = random_weights(layout, 2);
    const auto wide = quantize_weights(weights, layout, false);
    const auto q = quantize_weights(weights, layout, true);
    const std::size_t size = weights.size() / static_cast<std::size_t>(layout.outputs);
    for (std::size_t c = 0; c < q.scales.size(); ++c) {
      EXPECT_EQ(q.narrowed[c], !channel_never_saturates(&wide.values[c * size], layout));
      EXPECT_EQ(q.narrowed[c], q.scales[c] != wide.scales[c]);
    }
  }
}

TEST(Weights, NarrowByTheLeastThatIsEnough) {
  for (const WeightLayout& layout : kLayouts) {
    const auto weights = random_weights(layout, 3);
    const auto q = quantize_weights(weights, layout, true);
    const std::size_t size = weights.size() / static_cast<std::size_t>(layout.outputs);
    for (std::size_t c = 0; c < q.scales.size(); ++c) {
      if (!q.narrowed[c]) continue;
      const auto channel = std::span(weights).subspan(c * size, size);
      // Some float32 steps below: the bound of the search is rounded itself.
      EXPECT_FALSE(channel_never_saturates(rounded(channel, q.scales[c] * (1 - 1e-6F)).data(), layout));
    }
  }
}

TEST(Weights, AllowAPairThatJustFits) {
  // 127 + 1 and -127 - 1: 255 * 128 = 32640. Of opposite signs, anything goes.
  const std::vector<float> weights = {127, 1, 0, 0, -127, -1, 0, 0, 127, -127, 3, -120};
  const auto q = quantize_weights(weights, {3, 4, 1}, true);
  EXPECT_THAT(q.narrowed, Each(false));
  EXPECT_THAT(q.scales, Each(1));
}

TEST(Weights, NarrowAPairOfTheLargestWeights) {
  const auto q = quantize_weights(std::vector<float>{127, 127, 127, 0, -127, -127, 5, 5}, {2, 4, 1}, true);
  EXPECT_THAT(q.values, ElementsAre(64, 64, 64, 0, -64, -64, 3, 3));
  EXPECT_THAT(q.narrowed, Each(true));
}

TEST(Weights, ArePairedWithinATapWhereInputsAreAMultipleOfFour) {
  std::vector<float> weights(8);  // [4 inputs][2 taps]
  weights[0] = weights[1] = weights[4] = weights[5] = 127;
  EXPECT_THAT(quantize_weights(weights, {1, 4, 2}, true).narrowed, ElementsAre(false));
  weights[2] = 2;  // input 1 of tap 0
  EXPECT_THAT(quantize_weights(weights, {1, 4, 2}, true).narrowed, ElementsAre(true));
}

TEST(Weights, ArePairedAcrossTapsWhereInputsAreNot) {
  std::vector<float> weights(6);  // [3 inputs][2 taps]; the im2col row is 0 2 4 1 3 5
  weights[4] = weights[1] = 127;
  EXPECT_THAT(quantize_weights(weights, {1, 3, 2}, true).narrowed, ElementsAre(true));
  std::swap(weights[1], weights[3]);
  EXPECT_THAT(quantize_weights(weights, {1, 3, 2}, true).narrowed, ElementsAre(false));
}

TEST(Weights, OfDepthwiseChannelsAreNeverPaired) {
  EXPECT_THAT(quantize_weights(std::vector<float>(9, 1), {1, 1, 9}, true).narrowed, ElementsAre(false));
}

TEST(Weights, OfZeroHaveScaleOne) {
  const auto q = quantize_weights(std::vector<float>{0, -0.0F, 0, 0, 1, 0, 0, 0}, {2, 4, 1}, true);
  EXPECT_EQ(q.scales[0], 1);
  EXPECT_THAT(q.values, ElementsAre(0, 0, 0, 0, 127, 0, 0, 0));
}

TEST(Weights, OfAnyMagnitudeHaveAUsableScale) {
  constexpr float kMax = std::numeric_limits<float>::max();
  const std::vector<float> weights = {1e-45F, 1e-45F, 0, 0, 1e-37F, 1e-37F, 0, 0, kMax, kMax, -kMax, 0};
  for (const bool no_saturation : {false, true}) {
    const auto q = quantize_weights(weights, {3, 4, 1}, no_saturation);
    EXPECT_EQ(q.scales[0], std::numeric_limits<float>::min());
    for (const float scale : q.scales) EXPECT_TRUE(std::isnormal(scale));
    EXPECT_EQ(q.values[8], no_saturation ? 64 : 127);
    EXPECT_EQ(q.values[10], no_saturation ? -64 : -127);
  }
}

TEST(Weights, RefuseALayoutThatDoesNotFit) {
  const std::vector<float> weights(12);
  const std::int64_t huge = std::int64_t{1} << 62;
  for (const WeightLayout& layout :
       {WeightLayout{5, 2, 1}, {3, 2, 1}, {12, 2, 1}, {0, 12, 1}, {1, -12, -1}, {12, 1, 0}, {4, huge, 1}, {huge, huge, huge}}) {
    EXPECT_THAT(refusal([&] { quantize_weights(weights, layout, false); }),
                AllOf(HasSubstr("12 weights"), HasSubstr("layout")));
  }
  EXPECT_THAT(refusal([] { quantize_weights({}, {0, 1, 1}, false); }), HasSubstr("0 weights"));
}

TEST(Weights, RefuseWhatIsNotFinite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    std::vector<float> weights(12, 1);
    weights[7] = bad;
    EXPECT_THAT(refusal([&] { quantize_weights(weights, {3, 4, 1}, true); }), HasSubstr("output channel 1"));
  }
}

}  // namespace
}  // namespace whimbrel::quantize
