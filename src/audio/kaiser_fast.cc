#include "audio/kaiser_fast.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>

#include "whimbrel/core.h"

namespace whimbrel::audio {
namespace {

// resampy 0.4's kaiser_fast: 24 zero crossings, 512 table entries each, and the roll-off and beta that its authors optimized.
constexpr int kZeroCrossings = 24;
constexpr int kTable = 512;
constexpr double kRollOff = 0.8682120388377784;
constexpr double kBeta = 9.903224388516183;
/// Partial sums of a dot product, so that the compiler may use vectors without being allowed to reorder additions.
constexpr std::int64_t kLanes = 8;
/// 64 MB. Rates of recorders and networks share large factors and need a few hundred kB; only a header that lies needs more.
constexpr std::int64_t kMostWeights = std::int64_t{1} << 24;

/// Modified Bessel function of the first kind, order 0, by its power series.
double bessel_i0(double x) {
  double term = 1, sum = 1;
  for (int k = 1; term > sum * 1e-17; ++k) {
    term *= (x / (2 * k)) * (x / (2 * k));
    sum += term;
  }
  return sum;
}

/// The right half of the windowed sinc, times `gain`.
std::vector<double> half_window(double gain) {
  constexpr int kEnd = kZeroCrossings * kTable;
  std::vector<double> half(kEnd + 1);
  for (int i = 0; i <= kEnd; ++i) {
    const double x = static_cast<double>(i) / kTable;
    const double at = std::numbers::pi * kRollOff * x;
    const double sinc = i == 0 ? 1 : std::sin(at) / at;
    const double share = static_cast<double>(i) / kEnd;
    half[static_cast<std::size_t>(i)] =
        gain * kRollOff * sinc * bessel_i0(kBeta * std::sqrt(1 - share * share)) / bessel_i0(kBeta);
  }
  return half;
}

/// The filter seen from a position `distance` zero crossings away from its centre, one weight an input sample. Between the
/// table's entries it is linear, and the step from one input sample to the next is a whole number of entries: so resampy reads
/// it.
std::vector<double> wing(const std::vector<double>& half, double distance, std::int64_t step) {
  const double position = distance * kTable;
  const auto offset = static_cast<std::int64_t>(position);
  const double between = position - static_cast<double>(offset);
  const auto size = static_cast<std::int64_t>(half.size());
  std::vector<double> weights;
  for (std::int64_t i = 0; i < (size - offset) / step; ++i) {
    const auto at = static_cast<std::size_t>(offset + i * step);
    const double next = at + 1 < half.size() ? half[at + 1] : half[at];
    weights.push_back(half[at] + between * (next - half[at]));
  }
  return weights;
}

float dot(const float* a, const float* b, std::int64_t n) {
  std::array<float, kLanes> sums{};
  for (std::int64_t i = 0; i < n; i += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) sums[static_cast<std::size_t>(lane)] += a[i + lane] * b[i + lane];
  }
  return std::accumulate(sums.begin(), sums.end(), 0.0F);
}

}  // namespace

KaiserFast::KaiserFast(int from_hz, int to_hz)
    : from_(from_hz / std::gcd(from_hz, to_hz)), to_(to_hz / std::gcd(from_hz, to_hz)) {
  const double ratio = static_cast<double>(to_) / static_cast<double>(from_);
  const double scale = std::min(1.0, ratio);
  const auto half = half_window(scale);
  const auto step = std::max<std::int64_t>(1, static_cast<std::int64_t>(scale * kTable));
  left_ = static_cast<std::int64_t>(half.size()) / step;
  taps_ = (2 * left_ + 1 + kLanes - 1) / kLanes * kLanes;
  if (to_ * taps_ > kMostWeights) {
    throw Error(
        ErrorCode::bad_recording,
        fmt::format("the header claims a sample rate of {} Hz, which to {} Hz would take a table of {} MB, expected a rate "
                    "that recorders have; if the sound is good, write the true rate into the header",
                    from_hz, to_hz, to_ * taps_ * static_cast<std::int64_t>(sizeof(float)) >> 20));
  }
  phases_.assign(static_cast<std::size_t>(to_ * taps_), 0.0F);
  for (std::int64_t phase = 0; phase < to_; ++phase) {
    const double distance = scale * static_cast<double>(phase) / static_cast<double>(to_);
    float* const weights = phases_.data() + phase * taps_;
    const auto before = wing(half, distance, step);
    const auto after = wing(half, scale - distance, step);
    for (std::size_t i = 0; i < before.size(); ++i)
      weights[left_ - 1 - static_cast<std::int64_t>(i)] = static_cast<float>(before[i]);
    for (std::size_t i = 0; i < after.size(); ++i) weights[left_ + static_cast<std::int64_t>(i)] = static_cast<float>(after[i]);
  }
  begin_ = 1 - left_;  // silence before the first sample
  input_.assign(static_cast<std::size_t>(left_ - 1), 0.0F);
}

void KaiserFast::push(std::span<const float> in, std::vector<float>& out) {
  input_.insert(input_.end(), in.begin(), in.end());
  received_ += static_cast<std::int64_t>(in.size());
  // Output t lies at input position t * from / to; its last tap is taps_ - left_ samples further.
  const std::int64_t whole = received_ - (taps_ - left_);
  if (whole > 0) emit((whole * to_ + from_ - 1) / from_, out);
}

void KaiserFast::finish(std::vector<float>& out) {
  input_.insert(input_.end(), static_cast<std::size_t>(taps_), 0.0F);
  emit(received_ * to_ / from_, out);
}

void KaiserFast::emit(std::int64_t until, std::vector<float>& out) {
  for (; made_ < until; ++made_) {
    const std::int64_t at = made_ * from_;
    const std::int64_t first = at / to_ - left_ + 1 - begin_;
    out.push_back(dot(input_.data() + first, phases_.data() + at % to_ * taps_, taps_));
  }
  const std::int64_t done = std::min(made_ * from_ / to_ - left_ + 1 - begin_, static_cast<std::int64_t>(input_.size()));
  if (done <= 0) return;
  input_.erase(input_.begin(), input_.begin() + done);
  begin_ += done;
}

}  // namespace whimbrel::audio
