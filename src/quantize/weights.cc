#include "quantize/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "whimbrel/core.h"

namespace whimbrel::quantize {
namespace {

constexpr float kLargest = 127;
// 255 * 128 = 32640 is the most below 2^15 that activations of 255 can make of two weights.
constexpr float kLargestPair = 128;

/// Half to even, for |x| < 2^22: adding 1.5 * 2^23 leaves no bits for a fraction. Unlike nearbyint() it vectorizes everywhere.
float round_half_even(float x) {
  constexpr float kShift = 0x1.8p23F;
  return (x + kShift) - kShift;
}

void check(std::span<const float> weights, const WeightLayout& layout) {
  const std::int64_t n = std::ssize(weights);
  // Divisions, because a product of sizes from a file could overflow.
  if (layout.outputs <= 0 || layout.inputs <= 0 || layout.taps <= 0 || n % layout.outputs != 0 ||
      n / layout.outputs % layout.inputs != 0 || n / layout.outputs / layout.inputs != layout.taps) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("[quantize] {} weights, expected {} outputs x {} inputs x {} taps, all at least 1; check the layout", n,
                    layout.outputs, layout.inputs, layout.taps));
  }
}

/// As bits without the sign, non-negative floats order like integers, whose reductions vectorize; NaN is above infinity.
float largest_magnitude(std::span<const float> weights) {
  std::int32_t largest = 0;
  for (const float w : weights) largest = std::max(largest, std::bit_cast<std::int32_t>(w) & 0x7fffffff);
  return std::bit_cast<float>(largest);
}

void quantize(std::span<const float> weights, float scale, std::span<std::int8_t> values) {
  for (std::size_t i = 0; i < weights.size(); ++i) values[i] = static_cast<std::int8_t>(round_half_even(weights[i] / scale));
}

/// Calls visit(i, j) with all positions of a channel [inputs][taps] whose products kernels may add in 16 bits.
template <class Visit>
void for_each_pair(const WeightLayout& layout, Visit&& visit) {
  const auto inputs = static_cast<std::size_t>(layout.inputs);
  const auto taps = static_cast<std::size_t>(layout.taps);
  if (inputs == 1) return;
  const bool packed = inputs % 4 == 0;
  for (std::size_t input = 0; input + 1 < inputs; input += packed ? 2 : 1) {
    for (std::size_t tap = 0; tap < taps; ++tap) visit(input * taps + tap, (input + 1) * taps + tap);
  }
  if (packed) return;
  for (std::size_t tap = 0; tap + 1 < taps; ++tap) visit((inputs - 1) * taps + tap, tap + 1);
}

/// The least scale from `scale` upwards at which no pair saturates. Only |a + b| matters: of two weights of opposite signs the
/// activations can choose one, at most 127, and two of the same sign are their sum.
float widen(std::span<const float> weights, const WeightLayout& layout, float scale) {
  const auto sum = [&](std::size_t i, std::size_t j) { return std::abs(static_cast<double>(weights[i]) + weights[j]); };
  double worst = 0;
  for_each_pair(layout, [&](std::size_t i, std::size_t j) { worst = std::max(worst, sum(i, j)); });

  // Rounding moves each weight by at most 1/2. So a pair of more than 129 saturates for certain, one of less than 128 (with
  // some room for float32) never does, and those in between are seen once they are rounded.
  scale = std::max(scale, static_cast<float>(worst / (kLargestPair + 1)));
  if (worst < (kLargestPair - 0.001) * scale) return scale;
  std::vector<std::pair<float, float>> close;
  for_each_pair(layout, [&](std::size_t i, std::size_t j) {
    if (sum(i, j) >= (kLargestPair - 0.001) * scale) close.emplace_back(std::abs(weights[i]), std::abs(weights[j]));
  });
  for (;;) {
    float next = 0;
    for (const auto& [a, b] : close) {
      const float qa = round_half_even(a / scale);
      const float qb = round_half_even(b / scale);
      // The pair comes down by one at the scale where the first of the two rounds to one less.
      if (qa + qb > kLargestPair) next = std::max(next, std::min(a / (qa - 0.5F), b / (qb - 0.5F)));
    }
    if (next == 0) return scale;
    scale = std::max(next, std::nextafter(scale, std::numeric_limits<float>::infinity()));
  }
}

}  // namespace

QuantizedWeights quantize_weights(std::span<const float> weights, const WeightLayout& layout, bool no_saturation) {
  check(weights, layout);
  QuantizedWeights result;
  result.values.resize(weights.size());
  const std::size_t size = weights.size() / static_cast<std::size_t>(layout.outputs);
  for (std::size_t begin = 0; begin < weights.size(); begin += size) {
    const auto channel = weights.subspan(begin, size);
    const float largest = largest_magnitude(channel);
    if (!std::isfinite(largest)) {
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("[quantize] a weight of output channel {} is {}, expected finite weights; check the model in float",
                      begin / size, largest));
    }
    // Engines may flush anything below the smallest normal float to 0, and they divide by the scale.
    const float least = largest == 0 ? 1.0F : std::max(largest / kLargest, std::numeric_limits<float>::min());
    const float scale = no_saturation ? widen(channel, layout, least) : least;
    quantize(channel, scale, std::span(result.values).subspan(begin, size));
    result.scales.push_back(scale);
    result.narrowed.push_back(scale > least);
  }
  return result;
}

}  // namespace whimbrel::quantize
