#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <openvino/frontend/manager.hpp>
#include <openvino/frontend/tensorflow_lite/extension/conversion.hpp>
#include <openvino/opsets/opset10.hpp>

#include "engines/openvino_read.h"

namespace whimbrel::engines {
namespace {

namespace op = ov::opset10;

constexpr auto kRealPart = "whimbrel_rfft2d_real_part";

ov::Output<ov::Node> indices(const std::vector<std::int64_t>& values) {
  return op::Constant::create(ov::element::i64, {values.size()}, values);
}

/// cos(2 pi j k / n) for j = 0..n/4 and the given k, as the matrix that folded frames are multiplied with. The rows j = 0 and
/// j = n/4 are halved, because folding counts those samples twice.
ov::Output<ov::Node> cosines(std::int64_t n, const std::vector<std::int64_t>& ks) {
  const std::int64_t quarter = n / 4;
  std::vector<float> values;
  for (std::int64_t j = 0; j <= quarter; ++j) {
    const double weight = j == 0 || j == quarter ? 0.5 : 1;
    for (const auto k : ks) {
      values.push_back(static_cast<float>(
          weight * std::cos(2 * std::numbers::pi * static_cast<double>(j * k % n) / static_cast<double>(n))));
    }
  }
  const auto matrix = op::Constant::create(ov::element::f32, {static_cast<std::size_t>(quarter + 1), ks.size()}, values);
  matrix->get_rt_info()[kMadeByUs] = true;
  return matrix;
}

/// The real part of the DFT of real frames [..., n], n a multiple of 4. A cosine is even around 0 and n/2, and around n/4 it is
/// even for even k and odd for odd k: so four samples meet in one, and two products with (n/4)^2 matrices remain. OpenVINO runs
/// those on its matrix kernels in half the time of its RDFT, which was half of BirdNET's time (2026.4).
ov::Output<ov::Node> real_dft(const ov::Output<ov::Node>& frames, std::int64_t n) {
  const std::int64_t half = n / 2;
  std::vector<std::int64_t> from_start, from_end, from_half_down, from_half_up, even, odd, order;
  for (std::int64_t j = 0; j <= n / 4; ++j) {
    from_start.push_back(j);
    from_end.push_back((n - j) % n);
    from_half_down.push_back(half - j);
    from_half_up.push_back(half + j);
  }
  for (std::int64_t k = 0; k <= half; ++k) {
    (k % 2 == 0 ? even : odd).push_back(k);
    order.push_back(k % 2 == 0 ? k / 2 : half / 2 + 1 + k / 2);
  }
  const auto last_axis = op::Constant::create(ov::element::i64, {}, {-1});
  const auto take = [&](const auto& from, const auto& which) {
    return std::make_shared<op::Gather>(from, indices(which), last_axis);
  };
  const auto ends = std::make_shared<op::Add>(take(frames, from_start), take(frames, from_end));
  const auto middle = std::make_shared<op::Add>(take(frames, from_half_down), take(frames, from_half_up));
  const auto evens = std::make_shared<op::MatMul>(std::make_shared<op::Add>(ends, middle), cosines(n, even));
  const auto odds = std::make_shared<op::MatMul>(std::make_shared<op::Subtract>(ends, middle), cosines(n, odd));
  return take(std::make_shared<op::Concat>(ov::OutputVector{evens, odds}, -1), order);
}

/// TFLite's RFFT2D, which OpenVINO's front end lacks, as BirdNET V2.4 uses it: over single frames [..., 1, n], and what follows
/// is a cast to a real type, so only the real part is made. check_real_parts() refuses other uses.
ov::OutputVector real_part_of_rfft2d(const ov::frontend::NodeContext& node) {
  const auto length = std::dynamic_pointer_cast<op::Constant>(node.get_input(1).get_node_shared_ptr());
  const auto size = length ? length->cast_vector<std::int64_t>() : std::vector<std::int64_t>{};
  OPENVINO_ASSERT(size.size() == 2 && size[0] == 1, "RFFT2D over more than one row is not supported");
  const auto frames = node.get_input(0);
  const auto& shape = frames.get_partial_shape();
  OPENVINO_ASSERT(shape.rank().is_static() && shape[shape.size() - 1] == size[1] && size[1] % 4 == 0, "RFFT2D of length ",
                  size[1], " over ", shape, " is not supported: a multiple of 4, without padding, is");
  const auto real = real_dft(frames, size[1]).get_node_shared_ptr();
  real->get_rt_info()[kRealPart] = true;
  return {real};
}

bool keeps_values(const ov::Node* node) {
  return ov::is_type<op::Squeeze>(node) || ov::is_type<op::Unsqueeze>(node) || ov::is_type<op::Reshape>(node);
}

/// A complex spectrum may only be cast to real: anything else would need the imaginary part that was not made.
void check_real_parts(const ov::Output<ov::Node>& complex) {
  for (const auto& input : complex.get_target_inputs()) {
    if (keeps_values(input.get_node()))
      check_real_parts(input.get_node()->output(0));
    else
      OPENVINO_ASSERT(ov::is_type<op::Convert>(input.get_node()), "the imaginary part of RFFT2D is used by ",
                      input.get_node()->get_type_name(), ", which is not supported");
  }
}

/// OpenVINO's own search asks every front end of the wheel whether it knows the file: that loads eight libraries where one is
/// needed, and the TensorFlow one prints to stderr about files that it cannot parse.
std::shared_ptr<ov::Model> read_with_front_end(const std::string& framework, const std::filesystem::path& path) {
  static auto* manager = new ov::frontend::FrontEndManager;  // never destroyed: models refer to its libraries
  const auto front_end = manager->load_by_framework(framework);
  if (framework == "tflite") {
    front_end->add_extension(
        std::make_shared<ov::frontend::tensorflow_lite::ConversionExtension>("RFFT2D", real_part_of_rfft2d));
  }
  return front_end->convert(front_end->load(path.string()));
}

}  // namespace

ov::Core& core() {
  static auto* instance = new ov::Core;
  return *instance;
}

std::shared_ptr<ov::Model> read_model(const std::filesystem::path& path) {
  if (path.extension() == ".xml") return core().read_model(path.string());
  auto model = read_with_front_end(path.extension() == ".onnx" ? "onnx" : "tflite", path);
  for (const auto& node : model->get_ops()) {
    if (node->get_rt_info().contains(kRealPart)) check_real_parts(node->output(0));
  }
  return model;
}

Shape to_shape(const ov::PartialShape& shape) {
  Shape axes;
  if (shape.rank().is_dynamic()) return axes;
  for (const auto& axis : shape) axes.push_back(axis.is_static() ? axis.get_length() : -1);
  return axes;
}

std::vector<std::string> port_names(const ov::Output<const ov::Node>& port) {
  const auto& names = port.get_names();
  std::vector<std::string> sorted(names.begin(), names.end());
  std::ranges::sort(sorted);
  if (sorted.empty()) sorted.push_back(port.get_node()->get_friendly_name());
  return sorted;
}

TensorInfo tensor_info(const ov::Output<const ov::Node>& port) {
  static const std::map<std::string, std::string> kTypes{{"f32", "float32"}, {"f16", "float16"}, {"f64", "float64"},
                                                         {"i64", "int64"},   {"i32", "int32"},   {"u8", "uint8"},
                                                         {"i8", "int8"},     {"boolean", "bool"}};
  const std::string type = port.get_element_type().to_string();
  const auto known = kTypes.find(type);
  return {port_names(port).front(), to_shape(port.get_partial_shape()), known == kTypes.end() ? type : known->second};
}

}  // namespace whimbrel::engines
