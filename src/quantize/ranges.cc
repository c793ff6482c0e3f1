#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <tuple>

#include "quantize/observer.h"

namespace whimbrel::quantize {
namespace {

constexpr int kZeroBin = Histogram::kBins / 2;
constexpr int kLevels = 256;
constexpr double kCut = 1e-4;    // percentile: share of the values of a side
constexpr int kCandidates = 64;  // entropy, mse: thresholds of a side that are tried first

/// How many bins a range keeps on each side of zero.
struct Kept {
  int left = 0;
  int right = 0;
};

using Counts = std::vector<std::int64_t>;

std::int64_t count_at(const Counts& counts, int bin) { return counts[static_cast<std::size_t>(bin)]; }
std::int64_t count_left(const Counts& counts, int i) { return count_at(counts, kZeroBin - 1 - i); }
std::int64_t count_right(const Counts& counts, int i) { return count_at(counts, kZeroBin + i); }

double bin_width(const Histogram& h) { return h.limit() / kZeroBin; }

Kept extents(const Counts& counts) {
  Kept kept{kZeroBin, kZeroBin};
  while (kept.left > 0 && count_left(counts, kept.left - 1) == 0) --kept.left;
  while (kept.right > 0 && count_right(counts, kept.right - 1) == 0) --kept.right;
  return kept;
}

Range range_of(const Histogram& h, Kept kept) {
  const double low = std::max(-kept.left * bin_width(h), static_cast<double>(h.min()));
  const double high = std::min(kept.right * bin_width(h), static_cast<double>(h.max()));
  return {static_cast<float>(std::min(low, 0.0)) + 0.0F, static_cast<float>(std::max(high, 0.0))};
}

Kept percentile(const Counts& counts, Kept kept) {
  const auto cut = [&](int bins, auto count) {
    double budget = 0;
    for (int i = 0; i < bins; ++i) budget += kCut * static_cast<double>(count(counts, i));
    for (; bins > 0; --bins) {
      budget -= static_cast<double>(count(counts, bins - 1));
      if (budget < 0) break;
    }
    return bins;
  };
  return {cut(kept.left, count_left), cut(kept.right, count_right)};
}

/// Migacz's divergence of any pair of thresholds in O(levels), from sums over the bins up to each.
class Divergence {
 public:
  explicit Divergence(const Counts& counts) : counts_(counts), sums_(counts.size() + 1) {
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const auto count = static_cast<double>(counts[i]);
      const Sums& before = sums_[i];
      sums_[i + 1] = {before.count + count, before.filled + (count > 0 ? 1 : 0), before.entropy + x_log_x(count)};
    }
  }

  double operator()(Kept kept) const {
    const int begin = kZeroBin - kept.left;
    const int bins = kept.left + kept.right;
    const Sums& first = at(begin);
    const Sums& last = at(begin + bins);
    const double total = sums_.back().count;
    const double clipped_left = first.count;
    const double clipped_right = total - last.count;

    // sum of P log P, unscaled: the clipped values change one bin on each side. A side without kept bins has none to clip.
    double p_log_p = last.entropy - first.entropy;
    if (kept.left > 0) p_log_p += added(static_cast<double>(count_left(counts_, kept.left - 1)), clipped_left);
    if (kept.right > 0) p_log_p += added(static_cast<double>(count_right(counts_, kept.right - 1)), clipped_right);

    double p_log_q = 0;
    int from = begin;
    for (int level = 0; level < kLevels; ++level) {
      const int to = begin + (level + 1) * bins / kLevels;
      const double count = at(to).count - at(from).count;
      const double p = count + (level == 0 ? clipped_left : 0) + (level == kLevels - 1 ? clipped_right : 0);
      if (p > 0) p_log_q += p * std::log(count / (at(to).filled - at(from).filled));
      from = to;
    }
    return (p_log_p - p_log_q) / total - std::log(total / (last.count - first.count));
  }

 private:
  struct Sums {
    double count = 0;
    double filled = 0;   // bins with values
    double entropy = 0;  // count log count
  };

  static double x_log_x(double x) { return x > 0 ? x * std::log(x) : 0; }
  static double added(double count, double clipped) { return x_log_x(count + clipped) - x_log_x(count); }
  const Sums& at(int bin) const { return sums_[static_cast<std::size_t>(bin)]; }

  const Counts& counts_;
  std::vector<Sums> sums_;
};

Kept entropy(Counts counts, Kept extent) {
  // Zeros after ReLU would be spread over a whole run, which no distribution of the others could outweigh.
  counts[kZeroBin] = counts[kZeroBin + 1];
  const auto thresholds = [&](int bins, auto count) {
    std::vector<int> all;
    for (int i = kCandidates; i > 0; --i) {
      int at = (i * bins + kCandidates - 1) / kCandidates;
      // An empty outermost bin could not be in Q, which has no clipped values, and must be in P: no finite divergence.
      while (at > 0 && count(counts, at - 1) == 0) --at;
      if (at > 0 && (all.empty() || at < all.back())) all.push_back(at);
    }
    if (all.empty()) all.push_back(0);
    return all;
  };
  const auto rights = thresholds(extent.right, count_right);
  const Divergence divergence(counts);
  Kept best = extent;
  double least = std::numeric_limits<double>::infinity();
  for (const int left : thresholds(extent.left, count_left)) {
    for (const int right : rights) {
      if (left + right < kLevels) continue;
      const double found = divergence({left, right});
      if (found < least) std::tie(least, best) = std::tuple(found, Kept{left, right});
    }
  }
  return best;
}

/// Expected squared error behind f of any range in O(levels), from sums over the values up to each position. All values of a
/// run that is quantized to v have the error sum (f(x) - f(v))^2 = sum f(x)^2 - 2 f(v) sum f(x) + n f(v)^2.
class SquaredError {
 public:
  SquaredError(const Histogram& h, Kept extent, const Function& f)
      : f_(f), per_unit_(kPerBin / bin_width(h)), first_((0.5 - kPerBin * extent.left) / per_unit_) {
    sums_.emplace_back();
    for (int i = 0; i < kPerBin * (extent.left + extent.right); ++i) {
      const double count = static_cast<double>(count_at(h.bins(), kZeroBin - extent.left + i / kPerBin)) / kPerBin;
      const double y = exact(first_ + i / per_unit_);
      const Sums& before = sums_.back();
      values_.push_back(y);
      sums_.push_back({before.count + count, before.sum + count * y, before.squares + count * y * y});
    }
  }

  double operator()(const Affine& affine) const {
    double error = 0;
    std::int64_t begin = 0;
    for (int level = 0; level < kLevels; ++level) {
      const double value = static_cast<double>(affine.scale) * (level - affine.zero_point);
      const std::int64_t end = level + 1 < kLevels ? below(value + 0.5 * affine.scale) : std::ssize(values_);
      if (end <= begin) continue;
      const Sums& last = sums_[static_cast<std::size_t>(end)];
      const Sums& first = sums_[static_cast<std::size_t>(begin)];
      const double y = tabulated(value);
      error += last.squares - first.squares + y * (y * (last.count - first.count) - 2 * (last.sum - first.sum));
      begin = end;
    }
    return error;
  }

 private:
  struct Sums {
    double count = 0;
    double sum = 0;
    double squares = 0;
  };

  // One value a bin, its centre, would all lie half-way between two levels when the scale is a bin.
  static constexpr int kPerBin = 4;

  double exact(double x) const { return f_ ? f_(x) : x; }

  /// How many positions lie below x.
  std::int64_t below(double x) const {
    const double at = (x - first_) * per_unit_ + 1;
    return static_cast<std::int64_t>(std::clamp(at, 0.0, static_cast<double>(values_.size())));
  }

  /// f(x), interpolated: exact values for every range would take several times as long as everything else.
  double tabulated(double x) const {
    const double at = (x - first_) * per_unit_;
    if (!(at >= 0 && at < static_cast<double>(values_.size() - 1))) return exact(x);
    const auto i = static_cast<std::int64_t>(at);
    const double* y = values_.data() + i;
    return y[0] + (at - static_cast<double>(i)) * (y[1] - y[0]);
  }

  const Function& f_;
  double per_unit_;  // positions in 1; a power of two
  double first_;
  std::vector<double> values_;  // f at each position
  std::vector<Sums> sums_;      // of the positions before each
};

Kept mse(const Histogram& h, Kept extent, const Function& through) {
  const SquaredError error(h, extent, through);
  Kept best = extent;
  double least = std::numeric_limits<double>::infinity();
  const auto search = [&](Kept from, Kept to, Kept step) {
    for (int left = to.left; left >= from.left; left -= step.left) {
      for (int right = to.right; right >= from.right; right -= step.right) {
        if (left + right == 0) continue;
        const double found = error(affine_of(range_of(h, {left, right})));
        if (found < least) std::tie(least, best) = std::tuple(found, Kept{left, right});
      }
    }
  };
  const auto stride = [](int bins) { return std::max(1, (bins + kCandidates - 1) / kCandidates); };
  Kept step{stride(extent.left), stride(extent.right)};
  search({0, 0}, extent, step);
  while (step.left > 1 || step.right > 1) {
    const Kept from{std::max(0, best.left - step.left), std::max(0, best.right - step.right)};
    const Kept to{std::min(extent.left, best.left + step.left), std::min(extent.right, best.right + step.right)};
    step = {std::max(1, step.left / 4), std::max(1, step.right / 4)};
    search(from, to, step);
  }
  return best;
}

}  // namespace

Range choose_range(const Histogram& histogram, Observer observer, const Function& through) {
  Range range{histogram.min(), histogram.max()};
  if (histogram.count() > 0 && observer != Observer::minmax) {
    const Kept extent = extents(histogram.bins());
    range = range_of(histogram, observer == Observer::percentile ? percentile(histogram.bins(), extent)
                                : observer == Observer::entropy  ? entropy(histogram.bins(), extent)
                                                                 : mse(histogram, extent, through));
  }
  range = {std::min(range.low, 0.0F), std::max(range.high, 0.0F)};
  return range == Range{0, 0} ? Range{0, 1} : range;
}

}  // namespace whimbrel::quantize
