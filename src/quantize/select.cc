#include "quantize/select.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "quantize/prepare.h"

namespace whimbrel::quantize {
namespace {

template <std::size_t N>
bool is_one_of(const onnx::NodeProto& node, const std::array<const char*, N>& types) {
  return std::ranges::find(types, node.op_type()) != types.end();
}

/// What a tensor still is, on its way from the input.
enum class Stage { signal, spectrum, learned };

bool is_spectral(const onnx::NodeProto& node) {
  constexpr std::array kTypes = {"Log", "Pow", "Sqrt", "Abs", "DFT", "STFT", "MelWeightMatrix", "Exp", "Reciprocal"};
  if (is_one_of(node, kTypes)) return true;
  return node.op_type() == "Mul" && node.input(0) == node.input(1);  // a square
}

/// Linear in what comes from the input, moving it about, or normalizing it by its own extremes.
bool keeps_stage(const onnx::NodeProto& node) {
  constexpr std::array kTypes = {"Conv",
                                 "MatMul",
                                 "Gemm",
                                 "Add",
                                 "Sub",
                                 "Mul",
                                 "Div",
                                 "Neg",
                                 "Reshape",
                                 "Flatten",
                                 "Squeeze",
                                 "Unsqueeze",
                                 "Transpose",
                                 "Slice",
                                 "Split",
                                 "Pad",
                                 "Gather",
                                 "Concat",
                                 "Identity",
                                 "Cast",
                                 "ReduceSum",
                                 "ReduceMean",
                                 "ReduceMin",
                                 "ReduceMax",
                                 "ReduceL2",
                                 "GlobalAveragePool",
                                 "Expand",
                                 "Max",
                                 "Min",
                                 "Clip",
                                 "Resize",
                                 "BatchNormalization",
                                 "InstanceNormalization",
                                 "Where",
                                 "Shape",
                                 "Einsum",
                                 "DepthToSpace",
                                 "Tile"};
  return is_one_of(node, kTypes);
}

bool is_product(const Graph& graph, const onnx::NodeProto& node) {
  if (node.op_type() != "Conv" && node.op_type() != "Gemm" && node.op_type() != "MatMul") return false;
  return graph.is_constant(node.input(1));
}

/// One forward pass: the stage of every tensor, and of every node whether it is spectral on a path that nothing learned cut.
std::vector<bool> spectral_nodes(const Graph& graph) {
  std::map<std::string, Stage> stage = {{graph.input(), Stage::signal}};
  std::vector<bool> spectral(graph.nodes.size(), false);
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const auto& node = graph.nodes[n];
    Stage at = Stage::signal;
    bool from_input = false;
    for (const auto& input : node.input()) {
      const auto found = stage.find(input);
      if (found == stage.end()) continue;
      from_input = true;
      at = std::max(at, found->second);
    }
    if (!from_input) continue;
    if (at != Stage::learned) {
      spectral[n] = is_spectral(node);
      if (spectral[n]) {
        at = Stage::spectrum;
      } else if (!keeps_stage(node)) {
        at = Stage::learned;
      }
    }
    for (const auto& output : node.output()) stage[output] = at;
  }
  return spectral;
}

std::int64_t macs_of(const Graph& graph, const onnx::NodeProto& node) {
  const Shape out = shape_of_row(graph, node.output(0));
  const Shape weights = graph.shape_of(node.input(1));
  std::int64_t positions = 1;  // of the output, without its batch and its channels
  if (node.op_type() == "Conv") {
    for (std::size_t i = 2; i < out.size(); ++i) positions *= std::max<std::int64_t>(1, out[i]);
  } else {
    for (std::size_t i = 1; i + 1 < out.size(); ++i) positions *= std::max<std::int64_t>(1, out[i]);
  }
  return positions * element_count(weights);
}

/// Engines' integer kernels know a Gemm's alpha and beta in part or not at all.
bool has_factors(const onnx::NodeProto& node) {
  return std::ranges::any_of(node.attribute(),
                             [](const auto& a) { return (a.name() == "alpha" || a.name() == "beta") && a.f() != 1; });
}

/// One value in all, or one for each output.
bool is_vector_bias(const Graph& graph, const onnx::NodeProto& node) {
  const auto size = element_count(graph.shape_of(node.input(2)));
  const auto weights = graph.shape_of(node.input(1));
  const bool outputs_last = node.op_type() == "Gemm" && integer_attribute(node, "transB", 0) == 0;
  return size == 1 || size == (outputs_last ? weights.back() : weights.front());
}

/// Why a product cannot become integer; "" if it can.
std::string obstacle(const Graph& graph, const onnx::NodeProto& node) {
  if (graph.is_output(node.output(0))) return "makes an output of the network";
  if (graph.constants.at(node.input(1)).data_type() != onnx::TensorProto::FLOAT) return "weights are not float32";
  const bool has_bias = node.input_size() > 2 && !node.input(2).empty();
  if (has_bias && !graph.is_constant(node.input(2))) return "bias is not constant";
  if (node.op_type() == "MatMul" && graph.shape_of(node.input(1)).size() != 2) return "weights are not a matrix";
  if (node.op_type() == "Gemm" && integer_attribute(node, "transA", 0) != 0) return "its input is transposed";
  if (node.op_type() == "Gemm" && has_factors(node)) return "its result is scaled (alpha, beta)";
  if (has_bias && !is_vector_bias(graph, node)) return "bias is no vector";
  return {};
}

void check_keep(const Graph& graph, const std::vector<std::string>& keep, const std::string& where) {
  std::vector<std::string> known;
  for (const auto& node : graph.nodes) {
    known.push_back(node.name());
    known.push_back(node.op_type());
  }
  for (const auto& word : keep) {
    if (std::ranges::find(known, word) != known.end()) continue;
    const auto close = closest_word(word, known);
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: no node or operator '{}' to keep in float{}; --report of a run without it lists the nodes",
                            where, word, close.empty() ? "" : ", did you mean " + close));
  }
}

}  // namespace

std::set<std::string> front_end_nodes(const Graph& graph) {
  const auto spectral = spectral_nodes(graph);
  std::set<std::string> needed;  // tensors that a spectral node is made from
  std::set<std::string> names;
  for (std::size_t n = graph.nodes.size(); n-- > 0;) {
    const auto& node = graph.nodes[n];
    const bool inside = spectral[n] || std::ranges::any_of(node.output(), [&](const auto& o) { return needed.contains(o); });
    if (!inside) continue;
    names.insert(node.name());
    needed.insert(node.input().begin(), node.input().end());
  }
  return names;
}

Selection select_products(const Graph& graph, const std::vector<std::string>& keep, const std::string& where) {
  check_keep(graph, keep, where);
  const auto front_end = front_end_nodes(graph);
  Selection selection;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const auto& node = graph.nodes[n];
    if (!is_product(graph, node)) continue;
    std::string why = obstacle(graph, node);
    if (front_end.contains(node.name())) why = "belongs to the front end inside the graph";
    for (const auto& word : keep) {
      if (word == node.name() || word == node.op_type()) why = "kept in float as asked";
    }
    const std::int64_t macs = macs_of(graph, node);
    if (why.empty()) {
      selection.products.push_back({n, node.name(), macs});
    } else {
      selection.kept[node.name()] = {why, macs};
    }
  }
  if (selection.products.empty()) {
    throw Error(
        ErrorCode::unsupported,
        fmt::format("{}: no convolution or product with trained weights to quantize ({} stay in float{}); this model "
                    "gains nothing from INT8",
                    where, selection.kept.size(), selection.kept.empty() ? "" : ": " + selection.kept.begin()->second.why));
  }
  return selection;
}

}  // namespace whimbrel::quantize
