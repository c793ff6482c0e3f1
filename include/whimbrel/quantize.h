// Quantize: FP32 ONNX -> INT8 (QDQ) by post-training quantization, with a certificate.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "whimbrel/core.h"

namespace whimbrel {

/// How the range of a tensor is chosen from the values that calibration saw.
enum class Observer { minmax, percentile, entropy, mse };

}  // namespace whimbrel
