#include "quantize/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "whimbrel/engines.h"

namespace whimbrel::quantize {
namespace {

namespace fs = std::filesystem;

constexpr int kOldestOpset = 13;

void check_supported(const Graph& graph, const fs::path& model) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::unsupported, fmt::format("{}: {}", model.string(), what));
  };
  if (graph.opset() < kOldestOpset) {
    refuse(fmt::format("opset {}, expected {} or newer, which has scales per channel; export the model again", graph.opset(),
                       kOldestOpset));
  }
  constexpr std::array kQuantized = {"QuantizeLinear", "DequantizeLinear", "ConvInteger", "MatMulInteger",
                                     "DynamicQuantizeLinear"};
  for (const auto& node : graph.nodes) {
    const auto& type = node.op_type();
    if (type == "If" || type == "Loop" || type == "Scan") {
      refuse(fmt::format("control flow (node '{}' is {}), expected a plain graph; export the model by tracing", node.name(),
                         type));
    }
    if (std::ranges::find(kQuantized, type) != kQuantized.end() || type.starts_with("QLinear")) {
      refuse(fmt::format("quantized already (node '{}' is {}), expected float32; give the model it was made from", node.name(),
                         type));
    }
  }
}

/// Free axes of the input become what the manifest says; the batch, and only it, keeps a name.
void fix_input(Graph& graph, const Shape& row_shape, const fs::path& model) {
  auto& type = *graph.rest.mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type();
  if (type.elem_type() != onnx::TensorProto::FLOAT) {
    throw Error(ErrorCode::bad_manifest,
                fmt::format("{}: the input is not float32; export the model in float32", model.string()));
  }
  auto& shape = *type.mutable_shape();
  const auto axes = static_cast<int>(row_shape.size()) + 1;
  if (shape.dim_size() != 0 && shape.dim_size() != axes) {
    throw Error(ErrorCode::bad_manifest, fmt::format("{}: the input has {} axes, expected a batch axis and then {}; correct "
                                                     "[input] in the manifest",
                                                     model.string(), shape.dim_size(), to_string(row_shape)));
  }
  while (shape.dim_size() < axes) shape.add_dim();
  for (int i = 1; i < axes; ++i) {
    auto& dim = *shape.mutable_dim(i);
    const auto size = row_shape[static_cast<std::size_t>(i - 1)];
    if (dim.has_dim_value() && dim.dim_value() != size) {
      throw Error(ErrorCode::bad_manifest,
                  fmt::format("{}: axis {} of the input is {}, the manifest's front end makes {}; correct "
                              "[input] in the manifest",
                              model.string(), i, dim.dim_value(), size));
    }
    dim.set_dim_value(size);
  }
  if (!shape.dim(0).has_dim_value()) shape.mutable_dim(0)->set_dim_param("batch");
}

/// Shapes come from one run: what files declare is often wrong or missing.
void learn_shapes(Graph& graph, const Shape& row_shape, const fs::path& work_folder) {
  std::vector<std::string> tensors;
  for (const auto& node : graph.nodes) {
    for (const auto& output : node.output()) {
      if (!output.empty()) tensors.push_back(output);
    }
  }
  const auto file = work_folder / "shapes.onnx";
  graph.with_outputs(tensors).save_scratch(file);
  const auto session = open_session(EngineKind::onnxruntime, file,
                                    {.batch = 1, .row_shape = row_shape, .outputs = tensors, .any_outputs = true});
  fs::remove(file);
  graph.rest.mutable_graph()->clear_value_info();
  auto& input = graph.shapes[graph.input()] = row_shape;
  input.insert(input.begin(), -1);
  for (const auto& output : session->outputs()) {
    auto& shape = graph.shapes[output.name] = output.shape;
    if (!shape.empty()) shape[0] = -1;  // it was 1 here and is free: no constant has the same shape
  }
}

void name_nodes(Graph& graph) {
  std::set<std::string> names;
  for (auto& node : graph.nodes) {
    if (node.name().empty()) node.set_name(node.op_type() + "_" + node.output(0));
    for (int i = 2; !names.insert(node.name()).second; ++i) node.set_name(fmt::format("{}_{}", node.name(), i));
  }
}

/// Reduction axes of a ReduceMean: an input since opset 18, an attribute before.
std::vector<std::int64_t> reduced_axes(const Graph& graph, const onnx::NodeProto& node) {
  if (node.input_size() > 1)
    return graph.is_constant(node.input(1)) ? graph.integers(node.input(1)) : std::vector<std::int64_t>{};
  return integers_attribute(node, "axes");
}

void use_average_pools(Graph& graph) {
  std::vector<onnx::NodeProto> nodes;
  for (auto& node : graph.nodes) {
    const Shape shape = node.op_type() == "ReduceMean" ? shape_of_row(graph, node.input(0)) : Shape{};
    auto axes = shape.size() == 4 ? reduced_axes(graph, node) : std::vector<std::int64_t>{};
    for (auto& axis : axes) axis += axis < 0 ? 4 : 0;
    std::ranges::sort(axes);
    if (axes != std::vector<std::int64_t>{2, 3}) {
      nodes.push_back(std::move(node));
      continue;
    }
    const bool keeps_axes = integer_attribute(node, "keepdims", 1) != 0;
    const std::string pooled = keeps_axes ? node.output(0) : node.output(0) + "_pooled";
    nodes.push_back(make_node("GlobalAveragePool", node.name(), {node.input(0)}, pooled));
    if (keeps_axes) continue;
    const std::string axes_name = node.output(0) + "_axes";
    graph.set_int64(axes_name, {2, 3}, {2});
    nodes.push_back(make_node("Squeeze", node.name() + "_squeeze", {pooled, axes_name}, node.output(0)));
  }
  graph.nodes = std::move(nodes);
  graph.index();
}

void replace_uses(Graph& graph, const std::string& tensor, const std::string& by) {
  for (const auto& use : graph.uses(tensor)) graph.nodes[use.node].set_input(use.input, by);
}

bool broadcasts(const onnx::NodeProto& node) {
  return node.op_type() == "Mul" || node.op_type() == "Add" || node.op_type() == "Sub" || node.op_type() == "Div";
}

/// Expand is of no use before an operator that broadcasts, as long as the other side has the full shape.
void remove_expands(Graph& graph) {
  for (auto& node : graph.nodes) {
    if (node.op_type() != "Expand" || graph.is_output(node.output(0))) continue;
    const Shape full = shape_of_row(graph, node.output(0));
    const bool removable = std::ranges::all_of(graph.uses(node.output(0)), [&](const Use& use) {
      const auto& reader = graph.nodes[use.node];
      return broadcasts(reader) && !full.empty() && reader.input(0) != reader.input(1) &&
             shape_of_row(graph, reader.input(1 - use.input)) == full;
    });
    if (removable) replace_uses(graph, node.output(0), node.input(0));
    graph.index();
  }
  graph.remove_unused();
}

bool is_weighted_conv(const Graph& graph, const onnx::NodeProto& node) {
  return node.op_type() == "Conv" && graph.is_constant(node.input(1)) &&
         (node.input_size() < 3 || graph.is_constant(node.input(2)));
}

void scale_constant(Graph& graph, onnx::NodeProto& node, int input, float factor) {
  auto values = graph.floats(node.input(input));
  for (auto& value : values) value *= factor;
  const std::string name = node.input(input) + "_of_" + node.name();  // another node may read the original
  graph.set_floats(name, values, graph.shape_of(node.input(input)));
  node.set_input(input, name);
}

/// The scalar that a Mul multiplies with and the input that it multiplies, or nullopt.
std::optional<std::pair<float, int>> scalar_factor(const Graph& graph, const onnx::NodeProto& node) {
  if (node.op_type() != "Mul") return std::nullopt;
  for (const int i : {0, 1}) {
    if (!graph.is_constant(node.input(i)) || graph.is_constant(node.input(1 - i))) continue;
    if (element_count(graph.shape_of(node.input(i))) != 1) continue;
    return std::pair(graph.floats(node.input(i))[0], 1 - i);
  }
  return std::nullopt;
}

/// c * conv(x) scales weights and bias of the convolution before it; conv(c * x) the weights of those behind it.
void fold_scalars(Graph& graph) {
  for (auto& node : graph.nodes) {
    const auto scalar = scalar_factor(graph, node);
    if (!scalar || graph.is_output(node.output(0))) continue;
    const auto [factor, multiplied] = *scalar;
    const std::string from = node.input(multiplied);
    const auto before = graph.producer(from);
    const auto& readers = graph.uses(node.output(0));
    if (before && is_weighted_conv(graph, graph.nodes[*before]) && graph.uses(from).size() == 1 && !graph.is_output(from)) {
      auto& conv = graph.nodes[*before];
      for (int i = 1; i < conv.input_size(); ++i) scale_constant(graph, conv, i, factor);
    } else if (!readers.empty() && std::ranges::all_of(readers, [&](const Use& use) {
                 return use.input == 0 && is_weighted_conv(graph, graph.nodes[use.node]);
               })) {
      for (const auto& use : readers) scale_constant(graph, graph.nodes[use.node], 1, factor);
    } else {
      continue;
    }
    replace_uses(graph, node.output(0), from);
    graph.index();
  }
  graph.remove_unused();
}

/// Names in the default domain only: ONNX Runtime lists its own domains when it saves, which other readers need not know.
void keep_used_domains(Graph& graph) {
  std::set<std::string> used = {""};
  for (const auto& node : graph.nodes) used.insert(node.domain() == "ai.onnx" ? "" : node.domain());
  auto& imports = *graph.rest.mutable_opset_import();
  for (int i = imports.size() - 1; i >= 0; --i) {
    if (!used.contains(imports[i].domain() == "ai.onnx" ? "" : imports[i].domain())) imports.DeleteSubrange(i, 1);
  }
}

}  // namespace

Shape shape_of_row(const Graph& graph, const std::string& tensor) {
  if (graph.is_constant(tensor)) return graph.shape_of(tensor);
  const auto found = graph.shapes.find(tensor);
  return found == graph.shapes.end() ? Shape{} : found->second;
}

Graph prepare(const fs::path& model, const Shape& row_shape, const fs::path& work_folder) {
  Graph graph = Graph::load(model);
  check_supported(graph, model);
  fix_input(graph, row_shape, model);
  const auto fixed = work_folder / "fixed.onnx";
  const auto folded = work_folder / "folded.onnx";
  graph.save_scratch(fixed);
  fold_model(fixed, folded);
  graph = Graph::load(folded);
  for (const auto& file : {fixed, folded}) {
    fs::remove(file);
    fs::remove(file.string() + ".data");
  }
  name_nodes(graph);
  learn_shapes(graph, row_shape, work_folder);
  use_average_pools(graph);
  remove_expands(graph);
  fold_scalars(graph);
  keep_used_domains(graph);
  return graph;
}

}  // namespace whimbrel::quantize
