#include "quantize/observer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

namespace whimbrel::quantize {
namespace {

constexpr int kZeroBin = Histogram::kBins / 2;
constexpr int kLevels = 255;

// 256 KB of values: the second pass over a block still finds them in L2.
constexpr std::size_t kBlock = 1 << 16;

// Below this, clearing and summing the copies of the counts would cost more than they save.
constexpr std::size_t kSmallBlock = 1 << 13;

/// Orders as the float does, with the NaNs and infinities at both ends. Reductions of integers vectorize; those of floats do
/// not, because of NaN and of the sign of zero.
std::int32_t order_key(float x) {
  const auto bits = std::bit_cast<std::int32_t>(x);
  return bits ^ ((bits >> 31) & std::numeric_limits<std::int32_t>::max());
}

float from_order_key(std::int32_t key) {
  return std::bit_cast<float>(key ^ ((key >> 31) & std::numeric_limits<std::int32_t>::max()));
}

struct Extremes {
  float low;
  float high;
};

Extremes extremes(std::span<const float> values) {
  std::int32_t low = std::numeric_limits<std::int32_t>::max();
  std::int32_t high = std::numeric_limits<std::int32_t>::min();
  for (const float x : values) {
    const std::int32_t key = order_key(x);
    low = std::min(low, key);
    high = std::max(high, key);
  }
  return {from_order_key(low), from_order_key(high)};
}

/// Multiplying by a power of two is exact (or underflows into the bin next to zero, where the value belongs), and so is the
/// comparison that makes ceil() - 1 of a truncation.
std::int32_t bin_of(float x, float bins_per_unit) {
  const float position = std::abs(x) * bins_per_unit;
  const auto whole = static_cast<std::int32_t>(position);
  const std::int32_t closed = whole - static_cast<std::int32_t>(static_cast<float>(whole) == position);
  const std::int32_t distance = std::max(closed, 0);
  return kZeroBin + (x < 0 ? ~distance : distance);
}

/// Calls count(copy, bin) for each value, copy 0 and 1 in turn. Bins are computed first, some hundred at a time, because only
/// that part vectorizes.
template <class Count>
void for_each_bin(std::span<const float> values, float bins_per_unit, Count&& count) {
  constexpr std::size_t kChunk = 1024;
  std::array<std::int32_t, kChunk> bins;
  for (std::size_t begin = 0; begin < values.size(); begin += kChunk) {
    const auto chunk = values.subspan(begin, std::min(kChunk, values.size() - begin));
    for (std::size_t i = 0; i < chunk.size(); ++i) bins[i] = bin_of(chunk[i], bins_per_unit);
    std::size_t i = 0;
    for (; i + 2 <= chunk.size(); i += 2) {
      count(0, static_cast<std::size_t>(bins[i]));
      count(1, static_cast<std::size_t>(bins[i + 1]));
    }
    if (i < chunk.size()) count(0, static_cast<std::size_t>(bins[i]));
  }
}

}  // namespace

Affine affine_of(const Range& range) {
  const double span = static_cast<double>(range.high) - range.low;  // of floats it could overflow
  const float scale = std::max(static_cast<float>(span / kLevels), std::numeric_limits<float>::min());
  const float zero_point = std::nearbyint(-range.low / scale);
  return {scale, static_cast<std::uint8_t>(std::clamp(zero_point, 0.0F, static_cast<float>(kLevels)))};
}

float fake_quantize(float x, const Affine& affine) {
  const auto zero_point = static_cast<float>(affine.zero_point);
  const float level = std::nearbyint(x / affine.scale) + zero_point;
  return (std::max(0.0F, std::min(static_cast<float>(kLevels), level)) - zero_point) * affine.scale;
}

void Histogram::add(std::span<const float> values) {
  for (std::size_t begin = 0; begin < values.size(); begin += kBlock) {
    add_block(values.subspan(begin, std::min(kBlock, values.size() - begin)));
  }
}

void Histogram::add_block(std::span<const float> block) {
  if (block.empty()) return;
  const auto [low, high] = extremes(block);
  if (!std::isfinite(low) || !std::isfinite(high)) {
    std::vector<float> finite;
    std::copy_if(block.begin(), block.end(), std::back_inserter(finite), [](float x) { return std::isfinite(x); });
    non_finite_ += std::ssize(block) - std::ssize(finite);
    return add_block(finite);
  }
  include(low, high);
  count_ += std::ssize(block);

  const auto bins_per_unit = static_cast<float>(kZeroBin / limit_);
  if (block.size() < kSmallBlock) {
    for_each_bin(block, bins_per_unit, [&](std::size_t, std::size_t bin) { ++bins_[bin]; });
    return;
  }
  // Many activations are equal (zeros after ReLU). Neighbours count in different copies, because on many CPUs an increment
  // waits for the store of the one before. Two copies of 16 KB stay in L1.
  std::array<std::array<std::uint32_t, kBins>, 2> copies{};
  for_each_bin(block, bins_per_unit, [&](std::size_t copy, std::size_t bin) { ++copies[copy][bin]; });
  for (std::size_t i = 0; i < kBins; ++i) bins_[i] += copies[0][i] + copies[1][i];
}

/// Before the values of [low, high] are counted: extends min, max and the limit.
void Histogram::include(float low, float high) {
  min_ = (count_ == 0 ? low : std::min(min_, low)) + 0.0F;  // -0 becomes 0
  max_ = (count_ == 0 ? high : std::max(max_, high)) + 0.0F;
  const double largest = std::max({-static_cast<double>(low), static_cast<double>(high), kSmallestLimit});
  int exponent = 0;
  const double fraction = std::frexp(largest, &exponent);  // in [0.5, 1)
  grow(std::ldexp(1, fraction == 0.5 ? exponent - 1 : exponent));
}

void Histogram::grow(double limit) {
  if (limit <= limit_) return;
  if (limit_ > 0) {
    // Both halves shift towards the bins on either side of zero: 5 -> 2, ~5 -> ~2. After 11 doublings all are there.
    const int shift = std::min(std::ilogb(limit / limit_), 11);
    std::vector<std::int64_t> joined(kBins);
    for (int i = -kZeroBin; i < kZeroBin; ++i) {
      const int from = kZeroBin + i;
      const int to = kZeroBin + (i >> shift);
      joined[static_cast<std::size_t>(to)] += bins_[static_cast<std::size_t>(from)];
    }
    bins_ = std::move(joined);
  }
  limit_ = limit;
}

void Histogram::merge(const Histogram& other) {
  non_finite_ += other.non_finite_;
  if (other.count_ == 0) return;
  Histogram theirs = other;
  include(theirs.min_, theirs.max_);
  theirs.grow(limit_);
  for (std::size_t i = 0; i < kBins; ++i) bins_[i] += theirs.bins_[i];
  count_ += theirs.count_;
}

}  // namespace whimbrel::quantize
