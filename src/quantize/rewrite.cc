#include "quantize/rewrite.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace whimbrel::quantize {
namespace {

bool is_matrix(const onnx::NodeProto& product) { return product.op_type() != "Conv"; }

/// Gemm may hold its matrix as [outputs, inputs] already.
bool is_transposed(const onnx::NodeProto& product) {
  return product.op_type() == "Gemm" && integer_attribute(product, "transB", 0) != 0;
}

template <typename T>
std::vector<T> transposed(const std::vector<T>& values, std::size_t rows, std::size_t columns) {
  std::vector<T> result(values.size());
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) result[c * rows + r] = values[r * columns + c];
  }
  return result;
}

/// Writes the new graph node by node.
class Rewriter {
 public:
  Rewriter(const Graph& graph, const Placement& placement, const Ranges& ranges,
           const std::map<std::string, ProductConstants>& constants, EngineKind target)
      : graph_(graph), placement_(placement), ranges_(ranges), constants_(constants), target_(target) {
    result_.rest = graph.rest;
    result_.rest.mutable_graph()->clear_value_info();  // shapes of tensors that are no longer there
    result_.constants = graph.constants;
  }

  Graph run() {
    if (placement_.tensors.contains(graph_.input())) add_quantize(graph_.input());
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n) {
      const auto& node = graph_.nodes[n];
      if (placement_.scaled.contains(node.output(0))) continue;  // lives on in the scale of its readers
      add(node, placement_.integer_nodes.contains(n));
      for (const auto& output : node.output()) {
        if (placement_.tensors.contains(output)) add_quantize(output);
      }
    }
    result_.remove_unused();
    return std::move(result_);
  }

 private:
  /// The tensor whose integers `tensor` is made of, and its own scale.
  std::pair<std::string, Affine> integers_of(const std::string& tensor) const {
    if (const auto scaled = placement_.scaled.find(tensor); scaled != placement_.scaled.end()) {
      auto [root, affine] = integers_of(scaled->second.from);
      affine.scale *= scaled->second.factor;
      return {root, affine};
    }
    return {tensor, affine_at(tensor)};
  }

  /// Scale and zero point that `tensor` is quantized with.
  Affine affine_at(const std::string& tensor) const {
    const auto shared = placement_.shares.find(tensor);
    return shared == placement_.shares.end() ? affine_of(ranges_.at(tensor)) : integers_of(shared->second).second;
  }

  void add_affine(const std::string& name, const Affine& affine) {
    result_.set_floats(name + "_scale", {affine.scale}, {});
    result_.set_bytes(name + "_zero_point", std::vector<std::uint8_t>{affine.zero_point}, {});
  }

  void add_quantize(const std::string& tensor) {
    add_affine(tensor, affine_at(tensor));
    result_.nodes.push_back(make_node("QuantizeLinear", tensor + "_quantize",
                                      {tensor, tensor + "_scale", tensor + "_zero_point"}, tensor + "_quantized"));
  }

  /// ONNX Runtime makes a reader integer only if no one else reads its DequantizeLinear.
  std::string add_dequantize(const std::string& tensor, const std::string& reader, int input) {
    const auto [root, affine] = integers_of(tensor);
    const bool shared = target_ != EngineKind::onnxruntime;
    const std::string name = shared ? tensor + "_dequantized" : fmt::format("{}_for_{}_{}", tensor, reader, input);
    if (!made_.insert(name).second) return name;
    std::string scale = root;
    if (tensor != root) {
      add_affine(tensor, affine);
      scale = tensor;
    }
    result_.nodes.push_back(
        make_node("DequantizeLinear", name, {root + "_quantized", scale + "_scale", scale + "_zero_point"}, name));
    return name;
  }

  void add(onnx::NodeProto node, bool integer) {
    const std::string data = node.input_size() > 0 ? node.input(0) : "";
    for (int i = 0; i < node.input_size(); ++i) {
      if (placement_.tensors.contains(node.input(i))) node.set_input(i, add_dequantize(node.input(i), node.name(), i));
    }
    if (const auto constants = constants_.find(node.name()); integer && constants != constants_.end()) {
      add_weights(node, constants->second, integers_of(data).second.scale);
    }
    result_.nodes.push_back(std::move(node));
  }

  void add_weights(onnx::NodeProto& node, const ProductConstants& constants, float input_scale) {
    const Shape shape = graph_.shape_of(node.input(1));
    auto values = constants.weights.values;
    std::int64_t axis = 0;
    if (is_matrix(node) && !is_transposed(node)) {
      values = transposed(values, constants.weights.scales.size(), values.size() / constants.weights.scales.size());
      axis = 1;
    }
    const auto outputs = static_cast<std::int64_t>(constants.weights.scales.size());
    const std::string name = node.name() + "_weights";
    result_.set_bytes(name + "_quantized", values, shape);
    result_.set_floats(name + "_scale", constants.weights.scales, {outputs});
    result_.set_bytes(name + "_zero_point", std::vector<std::int8_t>(static_cast<std::size_t>(outputs), 0), {outputs});
    auto dequantize = make_node("DequantizeLinear", name, {name + "_quantized", name + "_scale", name + "_zero_point"}, name);
    set_attribute(dequantize, "axis", axis);
    result_.nodes.push_back(std::move(dequantize));
    node.set_input(1, name);
    if (!constants.bias.empty() && node.op_type() != "MatMul") add_bias(node, constants, input_scale);
  }

  void add_bias(onnx::NodeProto& node, const ProductConstants& constants, float input_scale) {
    const auto outputs = static_cast<std::int64_t>(constants.bias.size());
    const std::string name = node.name() + "_bias";
    while (node.input_size() < 3) node.add_input("");
    node.set_input(2, name);
    if (target_ != EngineKind::onnxruntime) {
      result_.set_floats(name, constants.bias, {outputs});
      return;
    }
    std::vector<std::int32_t> values;
    std::vector<float> scales;
    for (std::size_t o = 0; o < constants.bias.size(); ++o) {
      scales.push_back(std::max(std::numeric_limits<float>::min(), input_scale * constants.weights.scales[o]));
      constexpr double kMost = (1 << 30) - 1;  // leaves room for the sum of products
      values.push_back(static_cast<std::int32_t>(
          std::nearbyint(std::clamp(static_cast<double>(constants.bias[o]) / scales[o], -kMost, kMost))));
    }
    result_.set_int32(name + "_quantized", values, {outputs});
    result_.set_floats(name + "_scale", scales, {outputs});
    auto dequantize = make_node("DequantizeLinear", name, {name + "_quantized", name + "_scale"}, name);
    set_attribute(dequantize, "axis", std::int64_t{0});
    result_.nodes.push_back(std::move(dequantize));
  }

  const Graph& graph_;
  const Placement& placement_;
  const Ranges& ranges_;
  const std::map<std::string, ProductConstants>& constants_;
  EngineKind target_;
  Graph result_;
  std::set<std::string> made_;  // DequantizeLinear nodes
};

}  // namespace

WeightLayout weight_layout(const Graph& graph, const onnx::NodeProto& product) {
  const Shape shape = graph.shape_of(product.input(1));
  if (!is_matrix(product)) {
    WeightLayout layout{shape[0], shape[1], 1};
    for (std::size_t i = 2; i < shape.size(); ++i) layout.taps *= shape[i];
    return layout;
  }
  return is_transposed(product) ? WeightLayout{shape[0], shape[1], 1} : WeightLayout{shape[1], shape[0], 1};
}

std::vector<float> product_weights(const Graph& graph, const onnx::NodeProto& product) {
  auto values = graph.floats(product.input(1));
  if (!is_matrix(product) || is_transposed(product)) return values;
  const auto layout = weight_layout(graph, product);
  return transposed(values, static_cast<std::size_t>(layout.inputs), static_cast<std::size_t>(layout.outputs));
}

std::vector<float> product_bias(const Graph& graph, const onnx::NodeProto& product) {
  if (product.op_type() == "MatMul" || product.input_size() < 3 || product.input(2).empty()) return {};
  auto bias = graph.floats(product.input(2));
  const auto outputs = static_cast<std::size_t>(weight_layout(graph, product).outputs);
  if (bias.size() == 1) bias.assign(outputs, bias[0]);
  return bias;
}

Graph with_quantization(const Graph& graph, const Placement& placement, const Ranges& ranges,
                        const std::map<std::string, ProductConstants>& constants, EngineKind target) {
  return Rewriter(graph, placement, ranges, constants, target).run();
}

}  // namespace whimbrel::quantize
