// Step 4: weights and biases as the integer kernels take them.
#pragma once

#include <map>
#include <string>

#include "quantize/calibrate.h"
#include "quantize/rewrite.h"
#include "quantize/select.h"

namespace whimbrel::quantize {

/// Cross-layer equalization for pairs of a convolution and the depthwise one behind it, where what stands between is nothing or
/// Relu: both have a scale per channel, so a channel can be made larger before and smaller behind at no cost, and every channel
/// of the tensor between them then uses all 8 bits. Changes weights and biases in `graph`, not what it computes, and the
/// statistics of the tensor between.
/// Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), section 4.1, here
/// with the activations' ranges instead of the weights'.
/// @returns how many pairs were equalized
int equalize(Graph& graph, const Selection& selection, const Statistics& statistics);

/// Integer weights of every product and its bias, corrected for what rounding the weights adds on average.
/// Source: Nagel et al. (2019), section 4.2, with the mean input that calibration measured.
/// @param no_saturation  see quantize_weights()
std::map<std::string, ProductConstants> product_constants(const Graph& graph, const Selection& selection,
                                                          const Statistics& statistics, bool no_saturation);

}  // namespace whimbrel::quantize
