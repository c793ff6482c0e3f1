// Histograms and the rules for ranges, written slowly from their definitions.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "quantize/observer.h"

namespace whimbrel::reference {

using quantize::Histogram;

/// Smallest power of two that is at least every |x|.
inline double limit(std::span<const float> values) {
  double largest = 0;
  for (const float x : values) largest = std::max(largest, std::abs(static_cast<double>(x)));
  double power = 1;
  while (power < largest) power *= 2;
  while (power / 2 >= largest && power > Histogram::kSmallestLimit) power /= 2;
  return power;
}

/// By asking every bin in turn whether the value is in it.
inline std::vector<std::int64_t> bins(std::span<const float> values) {
  constexpr int kHalf = Histogram::kBins / 2;
  const double width = limit(values) / kHalf;
  std::vector<std::int64_t> counts(Histogram::kBins);
  for (const double x : values) {
    for (int i = 0; i < kHalf; ++i) {
      if ((i == 0 && x == 0) || (i * width < x && x <= (i + 1) * width)) ++counts[static_cast<std::size_t>(kHalf + i)];
      if (-(i + 1) * width <= x && x < -i * width) ++counts[static_cast<std::size_t>(kHalf - 1 - i)];
    }
  }
  return counts;
}

/// Bins from zero to the outermost one with values, on one side (-1 or 1).
inline int extent(const Histogram& h, int side) {
  int found = 0;
  for (int i = 0; i < Histogram::kBins / 2; ++i) {
    const int bin = Histogram::kBins / 2 + (side > 0 ? i : -1 - i);
    if (h.bins()[static_cast<std::size_t>(bin)] > 0) found = i + 1;
  }
  return found;
}

/// KL(P || Q) of keeping so many bins on either side of zero; infinite where Q is 0 and P is not.
inline double divergence(const Histogram& h, int left, int right) {
  const int n = left + right;
  const int begin = Histogram::kBins / 2 - left;
  auto counts = h.bins();
  counts[Histogram::kBins / 2] = counts[Histogram::kBins / 2 + 1];
  std::vector<double> raw(static_cast<std::size_t>(n)), p(raw.size()), q(raw.size());
  for (int bin = 0; bin < Histogram::kBins; ++bin) {
    const auto at = static_cast<std::size_t>(std::clamp(bin - begin, 0, n - 1));
    const auto count = static_cast<double>(counts[static_cast<std::size_t>(bin)]);
    p[at] += count;
    if (bin >= begin && bin < begin + n) raw[at] += count;
  }
  for (int level = 0; level < 256; ++level) {
    double sum = 0, filled = 0;
    for (int i = level * n / 256; i < (level + 1) * n / 256; ++i) {
      sum += raw[static_cast<std::size_t>(i)];
      filled += raw[static_cast<std::size_t>(i)] > 0 ? 1 : 0;
    }
    for (int i = level * n / 256; i < (level + 1) * n / 256; ++i) {
      if (raw[static_cast<std::size_t>(i)] > 0) q[static_cast<std::size_t>(i)] = sum / filled;
    }
  }
  double sum_p = 0, sum_q = 0, result = 0;
  for (std::size_t i = 0; i < p.size(); ++i) sum_p += p[i], sum_q += q[i];
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] > 0 && q[i] == 0) return std::numeric_limits<double>::infinity();
    if (p[i] > 0) result += p[i] / sum_p * std::log(p[i] / sum_p / (q[i] / sum_q));
  }
  return result;
}

/// Mean of (f(fake_quantize(x)) - f(x))^2 with four values for each bin.
inline double squared_error(const Histogram& h, const quantize::Range& range, const std::function<double(double)>& f) {
  const quantize::Affine affine = quantize::affine_of(range);
  const double width = 2 * h.limit() / Histogram::kBins;
  double sum = 0;
  for (int bin = 0; bin < Histogram::kBins; ++bin) {
    const auto count = static_cast<double>(h.bins()[static_cast<std::size_t>(bin)]);
    if (count == 0) continue;
    for (const double part : {0.125, 0.375, 0.625, 0.875}) {
      const double x = (bin + part) * width - h.limit();
      const double error = f(quantize::fake_quantize(static_cast<float>(x), affine)) - f(x);
      sum += count / 4 * error * error;
    }
  }
  return sum / static_cast<double>(h.count());
}

/// Least of call(left, right) over the 64ths of both extents, each rounded up to a bin.
inline double least_on_grid(const Histogram& h, const std::function<double(int, int)>& call) {
  double least = std::numeric_limits<double>::infinity();
  const int left = extent(h, -1), right = extent(h, 1);
  for (int i = 0; i <= 64; ++i) {
    for (int j = 0; j <= 64; ++j) least = std::min(least, call((i * left + 63) / 64, (j * right + 63) / 64));
  }
  return least;
}

}  // namespace whimbrel::reference
