#include "quantize/constants.h"

#include <algorithm>

namespace whimbrel::quantize {
namespace {

/// A depthwise convolution: one input channel and one output channel a group.
bool is_depthwise(const Graph& graph, const onnx::NodeProto& node) {
  if (node.op_type() != "Conv" || !graph.is_constant(node.input(1))) return false;
  const Shape shape = graph.shape_of(node.input(1));
  return shape[1] == 1 && shape[0] > 1 && integer_attribute(node, "group", 1) == shape[0];
}

/// Where a group has one channel but the convolution is not depthwise, kernels multiply a row of taps as a matrix.
WeightLayout kernel_layout(const Graph& graph, const onnx::NodeProto& node) {
  const auto layout = weight_layout(graph, node);
  if (node.op_type() != "Conv" || layout.inputs != 1 || is_depthwise(graph, node)) return layout;
  return {layout.outputs, layout.taps, 1};
}

void scale_outputs(Graph& graph, const onnx::NodeProto& conv, const std::vector<float>& factors) {
  auto weights = graph.floats(conv.input(1));
  const std::size_t per_output = weights.size() / factors.size();
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] *= factors[i / per_output];
  graph.set_floats(conv.input(1), weights, graph.shape_of(conv.input(1)));
  if (conv.input_size() < 3 || conv.input(2).empty()) return;
  auto bias = graph.floats(conv.input(2));
  for (std::size_t i = 0; i < bias.size(); ++i) bias[i] *= factors[i];
  graph.set_floats(conv.input(2), bias, graph.shape_of(conv.input(2)));
}

void divide_weights(Graph& graph, const onnx::NodeProto& conv, const std::vector<float>& factors) {
  auto weights = graph.floats(conv.input(1));
  const std::size_t per_output = weights.size() / factors.size();
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] /= factors[i / per_output];
  graph.set_floats(conv.input(1), weights, graph.shape_of(conv.input(1)));
}

/// The depthwise convolution that alone reads what `product` makes, past a Relu; nullptr where there is none, or where its
/// weights serve another node too.
const onnx::NodeProto* depthwise_behind(const Graph& graph, const onnx::NodeProto& product) {
  std::string tensor = product.output(0);
  if (graph.is_output(tensor) || graph.uses(tensor).size() != 1) return nullptr;
  const auto* reader = &graph.nodes[graph.uses(tensor)[0].node];
  if (reader->op_type() == "Relu") {
    tensor = reader->output(0);
    if (graph.is_output(tensor) || graph.uses(tensor).size() != 1) return nullptr;
    reader = &graph.nodes[graph.uses(tensor)[0].node];
  }
  const bool own_weights =
      graph.uses(product.input(1)).size() == 1 && (product.input_size() < 3 || graph.uses(product.input(2)).size() == 1);
  if (!own_weights || !is_depthwise(graph, *reader) || graph.uses(reader->input(1)).size() != 1) return nullptr;
  return reader;
}

/// Mean over windows of each input channel of output channel `output`'s group.
std::span<const double> means_of_group(const std::vector<double>& means, const WeightLayout& layout, std::int64_t groups,
                                       std::int64_t output) {
  const auto group = output / std::max<std::int64_t>(1, layout.outputs / groups);
  return std::span(means).subspan(static_cast<std::size_t>(group * layout.inputs), static_cast<std::size_t>(layout.inputs));
}

/// What the rounded weights add to each output on average is taken off its bias.
void correct_bias(ProductConstants& constants, const std::vector<float>& weights, const WeightLayout& layout,
                  std::int64_t groups, const std::vector<double>& means) {
  if (means.size() != static_cast<std::size_t>(layout.inputs * groups)) return;
  constants.bias.resize(static_cast<std::size_t>(layout.outputs));
  std::size_t at = 0;
  for (std::int64_t o = 0; o < layout.outputs; ++o) {
    const auto group_means = means_of_group(means, layout, groups, o);
    const auto scale = static_cast<double>(constants.weights.scales[static_cast<std::size_t>(o)]);
    double shift = 0;
    for (const double mean : group_means) {
      for (std::int64_t t = 0; t < layout.taps; ++t, ++at) {
        shift += mean * (scale * constants.weights.values[at] - static_cast<double>(weights[at]));
      }
    }
    constants.bias[static_cast<std::size_t>(o)] -= static_cast<float>(shift);
  }
}

}  // namespace

int equalize(Graph& graph, const Selection& selection, const Statistics& statistics) {
  int pairs = 0;
  for (const auto& product : selection.products) {
    const auto conv = graph.nodes[product.node];
    if (conv.op_type() != "Conv") continue;
    const auto* reader = depthwise_behind(graph, conv);
    if (reader == nullptr) continue;
    const auto found = statistics.find(quantized_output(graph, conv));
    if (found == statistics.end()) continue;
    const auto& most = found->second.channel_max;
    const float largest = most.empty() ? 0 : *std::ranges::max_element(most);
    if (!(largest > 0) || most.size() != static_cast<std::size_t>(weight_layout(graph, conv).outputs)) continue;
    std::vector<float> factors;
    constexpr float kMost = 64;  // a channel that is nearly silent in calibration may not be so elsewhere
    for (const float m : most) factors.push_back(m > 0 ? std::min(kMost, largest / m) : 1);
    scale_outputs(graph, conv, factors);
    divide_weights(graph, *reader, factors);
    ++pairs;
  }
  return pairs;
}

std::map<std::string, ProductConstants> product_constants(const Graph& graph, const Selection& selection,
                                                          const Statistics& statistics, bool no_saturation) {
  std::map<std::string, ProductConstants> all;
  for (const auto& product : selection.products) {
    const auto& node = graph.nodes[product.node];
    const auto layout = weight_layout(graph, node);
    const auto weights = product_weights(graph, node);
    auto& constants = all[product.name];
    constants.weights = quantize_weights(weights, kernel_layout(graph, node), no_saturation);
    constants.bias = product_bias(graph, node);
    if (node.op_type() == "MatMul") continue;  // has no bias of its own to correct
    correct_bias(constants, weights, layout, integer_attribute(node, "group", 1), statistics.at(node.input(0)).channel_mean);
  }
  return all;
}

}  // namespace whimbrel::quantize
