// Step 5: Q/DQ where the target engine turns them into integer kernels.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "quantize/graph.h"
#include "quantize/observer.h"
#include "quantize/select.h"

namespace whimbrel::quantize {

using ProductNames = std::set<std::string>;
using Ranges = std::map<std::string, Range>;

/// Which operators and tensors of a graph are 8-bit when a set of products is.
///
/// ONNX Runtime makes a node integer only if every input comes from a DequantizeLinear and its output goes into a
/// QuantizeLinear alone, so integers flow from convolution to convolution through every operator between them: Conv, Sigmoid,
/// Mul, Add, pools. OpenVINO fuses activations behind a convolution while they are float, so it wants one Q/DQ on what a
/// convolution reads.
struct Placement {
  std::set<std::size_t> integer_nodes;        // products and, for ONNX Runtime, the operators between them
  std::set<std::string> tensors;              // that are quantized
  std::map<std::string, std::string> shares;  // tensor -> the one whose scale and zero point it has (it only moves values)
  struct Scaled {
    std::string from;
    float factor = 1;
  };
  std::map<std::string, Scaled> scaled;  // result of a Mul by a scalar: the same integers at another scale, and no Mul
};

Placement place_for_onnxruntime(const Graph& graph, const Selection& selection, const ProductNames& integer);
Placement place_for_openvino(const Graph& graph, const Selection& selection, const ProductNames& integer);

/// Where a product's result is quantized: behind the Relu or Clip that is its only reader, else at its own output.
std::string quantized_output(const Graph& graph, const onnx::NodeProto& product);

/// What stands between a quantized tensor and the rest of the network, where it is nothing but SiLU, Sigmoid or Tanh; empty
/// otherwise.
Function function_behind(const Graph& graph, const std::string& tensor);

}  // namespace whimbrel::quantize
