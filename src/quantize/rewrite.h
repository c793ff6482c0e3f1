// The graph with Q/DQ in it: weights as S8, biases as S32 (ONNX Runtime) or float (OpenVINO), activations as U8.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "quantize/place.h"
#include "quantize/weights.h"
#include "whimbrel/engines.h"

namespace whimbrel::quantize {

/// Weights of one product as integers, and the bias that belongs to them.
struct ProductConstants {
  QuantizedWeights weights;  // in the layout of weight_layout()
  std::vector<float> bias;   // [outputs]; empty where the product has none
};

/// [outputs][inputs][taps] of a product's weights; Gemm's and MatMul's matrices count as transposed to it.
WeightLayout weight_layout(const Graph& graph, const onnx::NodeProto& product);
/// The weights in that layout.
std::vector<float> product_weights(const Graph& graph, const onnx::NodeProto& product);
/// The bias of a Conv or Gemm as a vector of its outputs; empty without one.
std::vector<float> product_bias(const Graph& graph, const onnx::NodeProto& product);

/// @param ranges  of every tensor of the placement that shares no other one's
/// @param target  ONNX Runtime's kernels take the bias in S32 at the scale of input times weight, and a DequantizeLinear for
/// each reader; OpenVINO's a float bias, and one DequantizeLinear for all
Graph with_quantization(const Graph& graph, const Placement& placement, const Ranges& ranges,
                        const std::map<std::string, ProductConstants>& constants, EngineKind target);

}  // namespace whimbrel::quantize
