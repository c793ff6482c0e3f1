#include <fmt/format.h>

#include <algorithm>
#include <openvino/opsets/opset10.hpp>

#include "engines/openvino_read.h"

namespace whimbrel::engines {
namespace {

namespace op = ov::opset10;
namespace fs = std::filesystem;

std::int64_t product(const ov::Shape& shape, std::size_t from = 0) {
  std::int64_t n = 1;
  for (std::size_t i = from; i < shape.size(); ++i) n *= static_cast<std::int64_t>(shape[i]);
  return n;
}

/// Passes its first input's values on, in another type or shape.
bool passes_on(const ov::Node* node) {
  return ov::is_type<op::Convert>(node) || ov::is_type<op::Reshape>(node) || ov::is_type<op::Unsqueeze>(node);
}

/// Integer constants, also on their way to float: quantized weights.
bool is_quantized(const ov::Output<ov::Node>& value) {
  const auto* node = value.get_node();
  if (ov::is_type<op::Constant>(node)) return node->get_output_element_type(0).is_integral_number();
  return (passes_on(node) || ov::is_type<op::Subtract>(node)) && is_quantized(node->input_value(0));
}

/// The scales and zero points of quantized weights are not trained values.
bool only_rescales_quantized(const ov::Output<ov::Node>& value) {
  const auto uses = value.get_target_inputs();
  return std::ranges::any_of(uses, [](const ov::Input<ov::Node>& use) {
    auto* node = use.get_node();
    if (passes_on(node)) return use.get_index() == 0 && only_rescales_quantized(node->output(0));
    const bool rescales = ov::is_type<op::Multiply>(node) || ov::is_type<op::Subtract>(node);
    return rescales && use.get_index() == 1 && is_quantized(node->input_value(0));
  });
}

/// Trained values of one constant: float arrays, and 8-bit or smaller ones that are turned to float (quantized weights). Single
/// values are settings (an epsilon, a scale), and larger integers are shapes and indices.
std::int64_t trained_values(op::Constant& constant) {
  const auto n = product(constant.get_shape());
  const auto& type = constant.get_element_type();
  if (n <= 1 || constant.get_rt_info().contains(kMadeByUs) || only_rescales_quantized(constant.output(0))) return 0;
  if (type.is_real()) return n;
  if (type.bitwidth() > 8 || type == ov::element::boolean) return 0;
  const bool weights = std::ranges::any_of(constant.output(0).get_target_inputs(), [](const ov::Input<ov::Node>& use) {
    return ov::is_type<op::Convert>(use.get_node()) && use.get_node()->get_output_element_type(0).is_real();
  });
  return weights ? n : 0;
}

/// Multiply-accumulates of one node at static shapes.
std::int64_t macs_of(const ov::Node& node) {
  const auto out = [&] { return product(node.get_output_shape(0)); };
  const auto weights = [&] { return node.get_input_shape(1); };
  if (ov::is_type<op::Convolution>(&node)) return out() * product(weights(), 1);       // [out, in, kernel...]
  if (ov::is_type<op::GroupConvolution>(&node)) return out() * product(weights(), 2);  // [group, out, in, kernel...]
  if (ov::is_type<op::ConvolutionBackpropData>(&node)) return product(node.get_input_shape(0)) * product(weights(), 1);
  if (const auto* matmul = ov::as_type<const op::MatMul>(&node)) {
    const auto& a = node.get_input_shape(0);
    return out() * static_cast<std::int64_t>(matmul->get_transpose_a() && a.size() > 1 ? a[a.size() - 2] : a.back());
  }
  return 0;
}

/// 0 where the shapes cannot be fixed, as for a model with several inputs or a row shape that was not given.
std::int64_t macs_of_a_row(ov::Model& model, const Shape& row_shape) {
  if (model.inputs().size() != 1) return 0;
  const Shape declared = to_shape(model.input().get_partial_shape());
  const bool fixed = !declared.empty() && declared[0] > 0;
  const SessionOptions options{.batch = fixed ? declared[0] : 1, .row_shape = row_shape};
  try {
    model.reshape(ov::PartialShape(fixed_input_shape(declared, options, "")));
  } catch (const std::exception&) {  // ours or OpenVINO's: the rest of what is known is still worth telling
    return 0;
  }
  std::int64_t macs = 0;
  for (const auto& node : model.get_ops()) {
    if (node->is_dynamic()) return 0;
    macs += macs_of(*node);
  }
  return macs / options.batch;
}

std::int64_t size_of(const fs::path& path) {
  std::error_code failed;
  const auto bytes = fs::file_size(path, failed);
  return failed ? 0 : static_cast<std::int64_t>(bytes);
}

/// Weights lie beside an IR, and beside an ONNX file as torch.onnx.export names them where it writes external data.
std::int64_t bytes_with_weights(const fs::path& path) {
  const auto weights =
      path.extension() == ".xml" ? fs::path(path).replace_extension(".bin") : fs::path(path.string() + ".data");
  return size_of(path) + size_of(weights);
}

}  // namespace

ModelInfo inspect(const fs::path& path, const Shape& row_shape) {
  return translated("inspect: " + path.string(), [&] {
    const auto model = read_model(path);
    ModelInfo info;
    for (const auto& input : std::as_const(*model).inputs()) info.inputs.push_back(tensor_info(input));
    for (const auto& output : std::as_const(*model).outputs()) info.outputs.push_back(tensor_info(output));
    for (const auto& node : model->get_ops()) {
      if (const auto constant = ov::as_type_ptr<op::Constant>(node)) info.parameters += trained_values(*constant);
    }
    info.macs = macs_of_a_row(*model, row_shape);
    info.file_bytes = bytes_with_weights(path);
    info.format = path.extension() == ".onnx" ? "onnx" : path.extension() == ".xml" ? "openvino" : "tflite";
    return info;
  });
}

}  // namespace whimbrel::engines
