// Weights to S8, one scale per output channel, in a range that the CPU's integer instructions cannot overflow.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace whimbrel::quantize {

/// How a weight tensor lies in memory: [outputs][inputs][taps], row-major, as ONNX's Conv has it (inputs: of one group; taps:
/// kernel height times width), or a matrix that was transposed to it (taps 1). A convolution of one group over a single channel
/// is such a matrix, too (inputs: its taps): unlike a depthwise one, engines multiply it as a matrix.
struct WeightLayout {
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
  std::int64_t taps = 1;
};

struct QuantizedWeights {
  std::vector<std::int8_t> values;  // in the order of the float weights
  std::vector<float> scales;        // [outputs], float = scale * value; never 0
  std::vector<bool> narrowed;       // [outputs]: the scale was widened so that no sum of two products saturates
};

/// Symmetric, in [-127, 127], rounded to nearest even. The scale is the channel's largest magnitude / 127, at least the
/// smallest normal float, and 1 for a channel of zeros.
///
/// @param no_saturation  for CPUs without VNNI: vpmaddubsw adds the products of two neighbouring unsigned activations (at most
/// 255) with two neighbouring weights in 16 bits, with saturation: 255 * 128 = 32640 is the most that fits. A channel in which
/// two weights that kernels may pair have positive parts (or negative parts) that sum to more than 128 after rounding could
/// exceed it; its scale becomes the least at which none does, and only then. Pairs: inputs 2i and 2i+1 of the same tap; where
/// the number of inputs is not a multiple of 4 all neighbours in tap-major order [taps][inputs], which is how an im2col row is
/// laid out, at even and at odd positions. Depthwise channels (inputs 1) are never paired: both engines widen them to 32 bits
/// before multiplying.
/// @throws Error{invalid_argument} when sizes do not match or a weight is not finite
/// Thread-safe.
QuantizedWeights quantize_weights(std::span<const float> weights, const WeightLayout& layout, bool no_saturation);

}  // namespace whimbrel::quantize
