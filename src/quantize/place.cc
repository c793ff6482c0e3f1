#include "quantize/place.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace whimbrel::quantize {
namespace {

/// Operators with an integer kernel in ONNX Runtime (1.32, qdq_selectors.cc) that whimbrel lets integers flow through.
bool has_integer_kernel(const onnx::NodeProto& node) {
  constexpr std::array kTypes = {"Sigmoid", "LeakyRelu", "Add", "Mul", "GlobalAveragePool", "AveragePool", "Concat"};
  return std::ranges::find(kTypes, node.op_type()) != kTypes.end();
}

/// Operators that only move values: their result has their input's scale.
bool only_moves(const onnx::NodeProto& node) {
  constexpr std::array kTypes = {"MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"};
  return std::ranges::find(kTypes, node.op_type()) != kTypes.end();
}

bool is_clip(const onnx::NodeProto& node) { return node.op_type() == "Relu" || node.op_type() == "Clip"; }

/// Positive scalar that a Mul scales a tensor with; 0 if it does something else.
float positive_factor(const Graph& graph, const onnx::NodeProto& node) {
  if (node.op_type() != "Mul") return 0;
  for (const int i : {0, 1}) {
    if (graph.is_constant(node.input(i)) && element_count(graph.shape_of(node.input(i))) == 1) {
      return std::max(0.0F, graph.floats(node.input(i))[0]);
    }
  }
  return 0;
}

/// Inputs of a node that are not constant.
std::vector<std::string> data_inputs(const Graph& graph, const onnx::NodeProto& node) {
  std::vector<std::string> inputs;
  for (const auto& input : node.input()) {
    if (!input.empty() && !graph.is_constant(input)) inputs.push_back(input);
  }
  return inputs;
}

std::set<std::size_t> nodes_of(const Selection& selection, const ProductNames& integer) {
  std::set<std::size_t> nodes;
  for (const auto& product : selection.products) {
    if (integer.contains(product.name)) nodes.insert(product.node);
  }
  return nodes;
}

/// Forward: operators all of whose inputs are integer where they are made.
std::set<std::size_t> reachable_followers(const Graph& graph, const std::set<std::size_t>& products) {
  std::set<std::string> integer;  // tensors
  std::set<std::size_t> followers;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const auto& node = graph.nodes[n];
    if (products.contains(n)) {
      integer.insert(quantized_output(graph, node));
      continue;
    }
    const bool scaled = positive_factor(graph, node) > 0;
    if (!has_integer_kernel(node) && !only_moves(node)) continue;
    if (node.output_size() != 1 || graph.is_output(node.output(0))) continue;
    const auto inputs = data_inputs(graph, node);
    // A constant that is no scalar, and no shape of an operator that moves values, would need 8 bits of its own.
    if (inputs.size() != static_cast<std::size_t>(node.input_size()) && !scaled && !only_moves(node)) continue;
    if (inputs.empty() || !std::ranges::all_of(inputs, [&](const auto& i) { return integer.contains(i); })) continue;
    followers.insert(n);
    integer.insert(node.output(0));
  }
  return followers;
}

/// Backward: of those, the ones whose result an integer product needs in the end. Behind the last product integers only cost.
void keep_needed(const Graph& graph, const std::set<std::size_t>& products, std::set<std::size_t>& followers) {
  std::set<std::size_t> needed;
  for (auto n = followers.rbegin(); n != followers.rend(); ++n) {
    const bool read = std::ranges::any_of(graph.uses(graph.nodes[*n].output(0)), [&](const Use& use) {
      return needed.contains(use.node) || (products.contains(use.node) && use.input == 0);
    });
    if (read) needed.insert(*n);
  }
  followers = std::move(needed);
}

}  // namespace

std::string quantized_output(const Graph& graph, const onnx::NodeProto& product) {
  const auto& output = product.output(0);
  const auto& uses = graph.uses(output);
  if (graph.is_output(output) || uses.size() != 1 || uses[0].input != 0) return output;
  const auto& reader = graph.nodes[uses[0].node];
  return is_clip(reader) && !graph.is_output(reader.output(0)) ? reader.output(0) : output;
}

Function function_behind(const Graph& graph, const std::string& tensor) {
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  const auto& uses = graph.uses(tensor);
  if (uses.empty() || graph.is_output(tensor)) return {};
  const auto& first = graph.nodes[uses[0].node];
  if (uses.size() == 1 && first.op_type() == "Sigmoid") return sigmoid;
  if (uses.size() == 1 && first.op_type() == "Tanh") return [](double x) { return std::tanh(x); };
  if (uses.size() != 2) return {};
  const auto& second = graph.nodes[uses[1].node];
  const auto& gate = first.op_type() == "Sigmoid" ? first : second;
  const auto& product = first.op_type() == "Sigmoid" ? second : first;
  if (gate.op_type() != "Sigmoid" || product.op_type() != "Mul") return {};
  if (product.input(0) != gate.output(0) && product.input(1) != gate.output(0)) return {};
  return [sigmoid](double x) { return x * sigmoid(x); };
}

Placement place_for_onnxruntime(const Graph& graph, const Selection& selection, const ProductNames& integer) {
  Placement placement;
  const auto products = nodes_of(selection, integer);
  auto followers = reachable_followers(graph, products);
  keep_needed(graph, products, followers);
  for (const auto n : products) {
    placement.integer_nodes.insert(n);
    placement.tensors.insert(graph.nodes[n].input(0));
    placement.tensors.insert(quantized_output(graph, graph.nodes[n]));
  }
  for (const auto n : followers) {
    const auto& node = graph.nodes[n];
    placement.integer_nodes.insert(n);
    placement.tensors.insert(node.output(0));
    const auto inputs = data_inputs(graph, node);
    if (only_moves(node)) placement.shares[node.output(0)] = inputs[0];
    if (const float factor = positive_factor(graph, node); factor > 0) placement.scaled[node.output(0)] = {inputs[0], factor};
  }
  return placement;
}

Placement place_for_openvino(const Graph& graph, const Selection& selection, const ProductNames& integer) {
  Placement placement;
  for (const auto n : nodes_of(selection, integer)) {
    placement.integer_nodes.insert(n);
    placement.tensors.insert(graph.nodes[n].input(0));
  }
  return placement;
}

}  // namespace whimbrel::quantize
