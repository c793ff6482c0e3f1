// Observers: what values a tensor takes over the calibration windows, in constant memory, and the range for 8 bits.
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

/// DequantizeLinear(QuantizeLinear(x)) as the operators define it, in float32: half to even, then saturated. NaN
/// gives the value of 255.
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

/// The range by the rule of `observer`; always contains 0, never empty (nothing but zeros gives [0, 1]) and, but for that, no
/// wider than the values. All rules but minmax see the bins: they cut on bin edges. "The extent" of a side of zero is its
/// number of bins up to the outermost one with values.
///
/// - minmax: every value.
/// - percentile: each side of zero loses its outermost values, as long as that is at most 0.01 % of the values of that side
/// (zeros
///   count to the positive one). So at most 0.01 % of all, split over the tails in proportion to what lies there.
/// - entropy: least Kullback-Leibler divergence KL(P || Q) in the sense of Migacz ("8-bit inference with TensorRT", GTC 2017),
///   with one threshold on each side of zero on which there are values, found together on a grid of 64 x 64: the 64ths of each
///   side's extent, rounded up to bins and then moved inwards to one with values; at least 256 bins are kept. P: the counts
///   between the thresholds, plus the clipped ones in the outermost bin of their side. Q: the counts between the thresholds
///   without the clipped ones; the kept bins are split into 256 runs as equal as possible and each run is spread evenly over
///   its bins that hold values. Both are scaled to sum 1. The bin of zero counts as many values as its right neighbour, as in
///   NVIDIA's pytorch-quantization: the zeros after ReLU would outweigh everything else.
/// - mse: least expected squared error of f(fake_quantize(x)) against f(x), each bin standing for four values spread over it:
///   clipping against rounding. Thresholds on both sides of zero, which may be zero, are searched together: first on a grid of
///   about 64 x 64 over the extents, then around the best in steps that shrink to one bin.
///
/// entropy and mse take about 10 ms where both sides are wide. Thread-safe as far as `through` is.
///
/// @param through  with mse: f, called some thousand times over the range of the values; absent: the identity
Range choose_range(const Histogram& histogram, Observer observer, const Function& through = {});

}  // namespace whimbrel::quantize
