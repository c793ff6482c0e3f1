// Observers: what values a tensor takes over the calibration windows, in constant memory, and the range that 8 bits should cover.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "whimbrel/quantize.h"

namespace whimbrel::quantize {

/// Values that 0..255 stand for; low <= 0 <= high, so that zero (padding) is exact.
struct Range {
  float low = 0;
  float high = 0;

  bool operator==(const Range&) const = default;
};

/// A histogram over [-limit, limit] with a fixed number of bins, whatever the number of values. When a value lies beyond, limit
/// doubles (a power of two) and neighbouring bins are joined, so the counts do not depend on the order of the values or on how
/// they were split over histograms that are merged later. Not thread-safe.
class Histogram {
 public:
  static constexpr int kBins = 4096;

  /// Values that are not finite are counted apart and change nothing else.
  void add(std::span<const float> values);
  void merge(const Histogram& other);

  std::int64_t count() const;
  std::int64_t non_finite() const;
  float min() const;  // exact; 0 when nothing was added
  float max() const;
  double limit() const;
  const std::vector<std::int64_t>& bins() const;  // [kBins], of [-limit, limit]

 private:
  std::vector<std::int64_t> bins_;
  double limit_ = 0;
  std::int64_t count_ = 0;
  std::int64_t non_finite_ = 0;
  float min_ = 0;
  float max_ = 0;
};

/// What stands behind the tensor: its error is what counts. SiLU, for example, does not care about anything below -8.
using Function = std::function<double(double)>;

/// The range by the rule of `observer`; always contains 0, never empty (a tensor of zeros gives [0, 1]).
///
/// - minmax: every value.
/// - percentile: all but 0.01 % of the values, split over both tails in proportion to what lies there.
/// - entropy: least Kullback-Leibler divergence between the histogram and its quantized form (Migacz, TensorRT, 2017), on each
///   side of zero on which there are values.
/// - mse: least expected squared error of quantizing with 256 levels: clipping against rounding.
///
/// @param through  with mse: the error is measured behind this function; absent: the identity
Range choose_range(const Histogram& histogram, Observer observer, const Function& through = {});

}  // namespace whimbrel::quantize
