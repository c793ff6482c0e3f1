// Observers: what values a tensor takes over the calibration windows, in constant memory, and the range that 8 bits should
// cover.
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

/// value = scale * (q - zero_point), q in 0..255: QuantizeLinear and DequantizeLinear of ONNX with U8.
struct Affine {
  float scale = 1;
  std::uint8_t zero_point = 0;

  bool operator==(const Affine&) const = default;
};

/// scale = (high - low) / 255, at least the smallest normal float: engines divide by it and may flush anything smaller to 0.
/// Zero point: -low / scale, rounded to nearest even and clamped to 0..255.
Affine affine_of(const Range& range);

/// DequantizeLinear(QuantizeLinear(x)) as the operators define it, in float32: half to even, then saturated. NaN gives 255's
/// value.
float fake_quantize(float x, const Affine& affine);

/// A histogram over [-limit, limit] with a fixed number of bins, whatever the number of values. When a value lies beyond, limit
/// doubles (a power of two) and neighbouring bins are joined, so the counts do not depend on the order of the values or on how
/// they were split over histograms that are merged later. Not thread-safe.
///
/// Bins are mirrored about zero and closed on the side away from it: bin kBins/2 + i holds (i w, (i + 1) w] and bin
/// kBins/2 - 1 - i holds [-(i + 1) w, -i w), with w = 2 limit / kBins. Zero, of either sign, is in bin kBins/2. So both +limit
/// and -limit have a bin, and the bins of a doubled limit are exactly pairs of the former ones.
class Histogram {
 public:
  static constexpr int kBins = 4096;
  static constexpr double kSmallestLimit = 0x1p-100;  // so that kBins / (2 limit) is a float

  /// Values that are not finite are counted apart and change nothing else.
  void add(std::span<const float> values);
  void merge(const Histogram& other);

  std::int64_t count() const { return count_; }  // of the finite values
  std::int64_t non_finite() const { return non_finite_; }
  float min() const { return min_; }  // exact; 0 when nothing was added
  float max() const { return max_; }
  double limit() const { return limit_; }  // smallest power of two >= the largest |x|, at least kSmallestLimit; 0 when empty
  const std::vector<std::int64_t>& bins() const { return bins_; }  // [kBins], of [-limit, limit]

 private:
  void add_block(std::span<const float> block);
  void include(float low, float high);
  void grow(double limit);

  std::vector<std::int64_t> bins_ = std::vector<std::int64_t>(kBins);
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
