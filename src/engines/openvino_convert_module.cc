#include <algorithm>
#include <openvino/opsets/opset10.hpp>

#include "engines/openvino_api.h"
#include "engines/openvino_read.h"

namespace whimbrel::engines {
namespace {

namespace op = ov::opset10;

bool is_quantized(const ov::Model& model) {
  return std::ranges::any_of(model.get_ops(), [](const std::shared_ptr<ov::Node>& node) {
    if (ov::is_type<op::FakeQuantize>(node)) return true;
    // Weights that are 8-bit integers until they are used.
    return ov::is_type<op::Convert>(node) && ov::is_type<op::Constant>(node->get_input_node_ptr(0)) &&
           node->get_input_element_type(0).is_integral_number() && node->get_input_element_type(0).bitwidth() <= 8;
  });
}

}  // namespace

WrittenIr write_ir(const std::filesystem::path& path, const std::filesystem::path& xml, const ConvertOptions& options) {
  const std::string where = "convert: " + path.string();
  return translated(where, [&] {
    const auto model = read_model(path);
    std::vector<TensorInfo> inputs;
    for (const auto& input : std::as_const(*model).inputs()) inputs.push_back(tensor_info(input));
    check_inputs(inputs, where);

    const Shape& declared = inputs[0].shape;
    const bool fixed = !declared.empty() && declared[0] != -1;
    const std::int64_t batch = options.batch > 0 ? options.batch : fixed ? declared[0] : 1;
    WrittenIr written{.input = fixed_input_shape(declared, {.batch = batch, .row_shape = options.row_shape}, where)};
    if (options.batch == 0 && !fixed) written.input[0] = -1;
    model->reshape(ov::PartialShape(std::vector<ov::Dimension>(written.input.begin(), written.input.end())));

    written.quantized = is_quantized(*model);
    for (const auto& output : std::as_const(*model).outputs()) {
      if (output.get_element_type() == ov::element::f32) written.float_outputs.push_back(port_names(output).front());
    }
    ov::save_model(model, xml, options.fp16);
    return written;
  });
}

}  // namespace whimbrel::engines
