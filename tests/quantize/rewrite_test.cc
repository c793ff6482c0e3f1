#include "quantize/rewrite.h"

#include <gmock/gmock.h>

#include <cmath>

#include "quantize/networks.h"
#include "reference/integer_product.h"

namespace whimbrel::quantize {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr EngineKind kTargets[] = {EngineKind::onnxruntime, EngineKind::openvino};
constexpr Range kInput = {-2.1F, 3.3F};
constexpr Range kMiddle = {-2.5F, 4.1F};  // narrower than the values: saturation is tested, too

/// Weights that do not saturate on CPUs without VNNI, so that sums are exact everywhere.
std::map<std::string, ProductConstants> constants_of(const Graph& graph, const Selection& selection) {
  std::map<std::string, ProductConstants> all;
  for (const auto& product : selection.products) {
    const auto& node = graph.nodes[product.node];
    all[product.name] = {quantize_weights(product_weights(graph, node), weight_layout(graph, node), true),
                         product_bias(graph, node)};
  }
  return all;
}

struct Quantized {
  Graph graph;
  std::map<std::string, ProductConstants> constants;
};

Quantized quantized(const Network& net, const Ranges& ranges, EngineKind target) {
  const auto graph = net.graph();
  const auto selection = select_products(graph, {}, "m.onnx");
  ProductNames names;
  for (const auto& product : selection.products) names.insert(product.name);
  const auto place = target == EngineKind::openvino ? place_for_openvino : place_for_onnxruntime;
  Quantized result{{}, constants_of(graph, selection)};
  result.graph = with_quantization(graph, place(graph, selection, names), ranges, result.constants, target);
  return result;
}

/// Values all over the range and beyond, none of them near the middle between two integers, where engines may round apart.
WindowRows rows_clear_of_ties(std::int64_t count) {
  return {count, [](std::int64_t row, std::span<float> input) {
            const auto affine = affine_of(kInput);
            std::mt19937 random(static_cast<unsigned>(row) + 7);
            for (float& v : input) {
              const int q = static_cast<int>(random() % 280) - 12;
              v = affine.scale * (static_cast<float>(q - affine.zero_point) + 0.3F * (static_cast<float>(random() % 3) - 1));
            }
          }};
}

struct Case {
  const char* name;
  reference::ProductShape shape;
  const char* type = "Conv";
  bool transposed = false;  // Gemm
  bool bias = true;
  int rows = 1;  // MatMul
};

void PrintTo(const Case& c, std::ostream* stream) { *stream << c.name; }

const Case kCases[] = {
    {"Conv1x1", {.inputs = 8, .outputs = 6, .height = 5, .width = 7}},
    {"Conv3x3", {.inputs = 5, .outputs = 6, .height = 6, .width = 7, .kernel = 3, .pad = 1}},
    {"ConvStride2", {.inputs = 8, .outputs = 16, .height = 9, .width = 6, .kernel = 3, .stride = 2, .pad = 1}},
    {"ConvWithoutBias", {.inputs = 4, .outputs = 4, .height = 6, .width = 6, .kernel = 3}, "Conv", false, false},
    {"Depthwise", {.inputs = 8, .outputs = 8, .height = 6, .width = 7, .kernel = 3, .pad = 1, .group = 8}},
    {"DepthwiseTimesTwo", {.inputs = 4, .outputs = 8, .height = 6, .width = 7, .kernel = 3, .pad = 1, .group = 4}},
    {"Groups", {.inputs = 8, .outputs = 12, .height = 6, .width = 6, .kernel = 3, .pad = 1, .group = 2}},
    {"OneChannelIn", {.inputs = 1, .outputs = 16, .height = 9, .width = 9, .kernel = 5, .stride = 2, .pad = 2}},
    {"Gemm", {.inputs = 24, .outputs = 10}, "Gemm"},
    {"GemmTransposed", {.inputs = 24, .outputs = 10}, "Gemm", true},
    {"MatMul", {.inputs = 24, .outputs = 10}, "MatMul", false, false, 3},
};

Shape row_of(const Case& c) {
  if (c.type == std::string("Gemm")) return {c.shape.inputs};
  if (c.type == std::string("MatMul")) return {c.rows, c.shape.inputs};
  return {c.shape.inputs, c.shape.height, c.shape.width};
}

Network network_of(const Case& c) {
  Network net(row_of(c));
  const auto& s = c.shape;
  if (c.type == std::string("Gemm")) {
    net.gemm("product", "x", s.inputs, s.outputs, c.transposed);
  } else if (c.type == std::string("MatMul")) {
    net.matmul("product", "x", s.inputs, s.outputs);
  } else {
    net.conv("product", "x", s.inputs, s.outputs, {s.kernel, s.stride, s.pad, s.group, c.bias});
  }
  net.add("Flatten", "y", {"product"});
  net.output("y", {c.rows * s.outputs * s.out_height() * s.out_width()});
  return net;
}

/// Integers from the model's float weights at the scales that were chosen, in order [outputs][inputs][taps].
std::vector<int> integer_weights(const Case& c, const Graph& graph, const std::vector<float>& scales) {
  const auto floats = graph.floats("product.weight");
  const bool outputs_last = c.type == std::string("MatMul") || (c.type == std::string("Gemm") && !c.transposed);
  const std::size_t outputs = scales.size();
  const std::size_t size = floats.size() / outputs;
  std::vector<int> values;
  for (std::size_t o = 0; o < outputs; ++o) {
    for (std::size_t i = 0; i < size; ++i) {
      const float w = outputs_last ? floats[i * outputs + o] : floats[o * size + i];
      values.push_back(static_cast<int>(std::nearbyint(w / scales[o])));
    }
  }
  return values;
}

/// A product's result in the order of the model's output: sum, and the channel that it belongs to.
struct Sum {
  std::int64_t value;
  std::size_t output;
};

std::vector<Sum> integer_sums(const Case& c, const std::vector<int>& x, const std::vector<int>& weights) {
  std::vector<Sum> sums;
  const auto plane = static_cast<std::size_t>(c.shape.out_height() * c.shape.out_width());
  const std::size_t size = x.size() / static_cast<std::size_t>(c.rows);
  for (auto begin = x.begin(); begin != x.end(); begin += static_cast<std::ptrdiff_t>(size)) {
    const std::vector<int> row(begin, begin + static_cast<std::ptrdiff_t>(size));
    const auto values = reference::integer_product(row, affine_of(kInput).zero_point, weights, c.shape);
    for (std::size_t i = 0; i < values.size(); ++i) sums.push_back({values[i], i / plane});
  }
  return sums;
}

class RewriteProduct : public InFolder, public ::testing::WithParamInterface<Case> {
 protected:
  std::filesystem::path saved(const Graph& graph, EngineKind target) const {
    auto path = folder_ / (std::string(to_string(target)) + ".onnx");
    graph.save(path);
    return path;
  }
};

std::vector<int> quantized_row(const WindowRows& rows, std::int64_t row, std::size_t size) {
  std::vector<float> values(size);
  rows.read(row, values);
  const auto affine = affine_of(kInput);
  std::vector<int> integers;
  for (const float v : values) {
    integers.push_back(reference::quantized(static_cast<double>(v), static_cast<double>(affine.scale), affine.zero_point));
  }
  return integers;
}

TEST_P(RewriteProduct, IsIntegerArithmeticInOnnxRuntime) {
  const auto& c = GetParam();
  const auto net = network_of(c);
  const auto [graph, constants] = quantized(net, {{"x", kInput}, {"product", kMiddle}}, EngineKind::onnxruntime);
  const auto& product = constants.at("product");
  const auto weights = integer_weights(c, net.graph(), product.weights.scales);
  const auto rows = rows_clear_of_ties(4);
  const auto file = saved(graph, EngineKind::onnxruntime);
  const auto found = answers(EngineKind::onnxruntime, file, row_of(c), rows)[0];
  const auto in = affine_of(kInput);
  const auto out = affine_of(kMiddle);
  int saturated = 0;
  std::size_t at = 0;
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const auto x = quantized_row(rows, r, static_cast<std::size_t>(element_count(row_of(c))));
    for (const auto& sum : integer_sums(c, x, weights)) {
      // The bias is an integer at the scale of the sums, half to even.
      const double scale = static_cast<double>(in.scale) * static_cast<double>(product.weights.scales[sum.output]);
      const double bias = product.bias.empty() ? 0 : std::nearbyint(static_cast<double>(product.bias[sum.output]) / scale);
      const double exact = (static_cast<double>(sum.value) + bias) * scale / static_cast<double>(out.scale) + out.zero_point;
      const double integer = static_cast<double>(found[at++]) / static_cast<double>(out.scale) + out.zero_point;
      EXPECT_NEAR(integer, std::nearbyint(integer), 1e-3);
      // The nearest integer; the kernel multiplies in float32, so the last 1e-4 before a tie may go to either side.
      EXPECT_NEAR(std::nearbyint(integer), std::clamp(exact, 0.0, 255.0), 0.5 + 1e-4);
      saturated += exact < -0.5 || exact > 255.5 ? 1 : 0;
    }
  }
  EXPECT_EQ(at, found.size());
  EXPECT_GT(saturated, 0);
  EXPECT_LT(saturated, static_cast<int>(at) / 2);
}

TEST_P(RewriteProduct, IsIntegerArithmeticInOpenVino) {
  const auto& c = GetParam();
  const auto net = network_of(c);
  const auto [graph, constants] = quantized(net, {{"x", kInput}}, EngineKind::openvino);
  const auto& product = constants.at("product");
  const auto weights = integer_weights(c, net.graph(), product.weights.scales);
  const auto rows = rows_clear_of_ties(4);
  const auto file = saved(graph, EngineKind::openvino);
  const auto found = answers(EngineKind::openvino, file, row_of(c), rows)[0];
  const auto by_onnxruntime = answers(EngineKind::onnxruntime, file, row_of(c), rows)[0];
  EXPECT_LT(largest_difference(found, by_onnxruntime), 1e-4F);
  std::size_t at = 0;
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const auto x = quantized_row(rows, r, static_cast<std::size_t>(element_count(row_of(c))));
    for (const auto& sum : integer_sums(c, x, weights)) {
      const double scale =
          static_cast<double>(affine_of(kInput).scale) * static_cast<double>(product.weights.scales[sum.output]);
      const double bias = product.bias.empty() ? 0 : static_cast<double>(product.bias[sum.output]);
      // Nothing is rounded behind the sum: float32's own steps at values up to 30.
      EXPECT_NEAR(static_cast<double>(found[at++]), static_cast<double>(sum.value) * scale + bias, 1e-4);
    }
  }
}

TEST_P(RewriteProduct, RunsOnIntegerKernels) {
  const auto& c = GetParam();
  const auto input = probe_input(element_count(row_of(c)));
  const auto [graph, constants] = quantized(network_of(c), {{"x", kInput}, {"product", kMiddle}}, EngineKind::onnxruntime);
  const auto nodes = profile_model(EngineKind::onnxruntime, saved(graph, EngineKind::onnxruntime),
                                   {.batch = 1, .workers = 1, .row_shape = row_of(c)}, input, 1);
  EXPECT_EQ(std::ranges::count_if(nodes, [](const NodeTime& node) { return node.integer; }), 1);
}

INSTANTIATE_TEST_SUITE_P(Of, RewriteProduct, ::testing::ValuesIn(kCases), [](const auto& test) { return test.param.name; });

class Rewrite : public InFolder {
 protected:
  std::vector<float> answer(const Network& net, const Ranges& ranges, EngineKind target, const Shape& row) const {
    quantized(net, ranges, target).graph.save(folder_ / "m.onnx");
    return answers(target, folder_ / "m.onnx", row, rows_clear_of_ties(4))[0];
  }
};

/// Convolution, SiLU, depthwise convolution.
Network silu_chain() {
  Network net({4, 6, 6});
  net.silu("act", net.conv("first", "x", 4, 8));
  net.add("Flatten", "y", {net.conv("second", "act", 8, 8, {.kernel = 3, .pad = 1, .group = 8})});
  net.output("y", {8 * 6 * 6});
  return net;
}

TEST_F(Rewrite, CarriesIntegersThroughAWholeChainInOnnxRuntime) {
  const Ranges ranges = {{"x", kInput}, {"first", {-5, 6}}, {"act_sigmoid", {0, 1}}, {"act", {-0.3F, 6}}, {"second", kMiddle}};
  const auto net = silu_chain();
  const auto float_graph = net.graph();
  const auto [graph, constants] = quantized(net, ranges, EngineKind::onnxruntime);
  graph.save(folder_ / "m.onnx");
  const auto rows = rows_clear_of_ties(4);
  const auto found = answers(EngineKind::onnxruntime, folder_ / "m.onnx", {4, 6, 6}, rows)[0];

  const auto scale_of = [&](const std::string& t) { return static_cast<double>(affine_of(ranges.at(t)).scale); };
  const auto zero_of = [&](const std::string& t) { return int{affine_of(ranges.at(t)).zero_point}; };
  const auto product = [&](const std::string& name, const std::string& from, const std::string& to, const std::vector<int>& x,
                           const reference::ProductShape& shape) {
    const auto& own = constants.at(name);
    const auto floats = float_graph.floats(name + ".weight");
    const std::size_t per_output = floats.size() / own.weights.scales.size();
    std::vector<int> weights;
    for (std::size_t i = 0; i < floats.size(); ++i) {
      weights.push_back(static_cast<int>(std::nearbyint(floats[i] / own.weights.scales[i / per_output])));
    }
    const auto sums = reference::integer_product(x, zero_of(from), weights, shape);
    std::vector<int> y;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const std::size_t o = i / 36;
      const double scale = scale_of(from) * static_cast<double>(own.weights.scales[o]);
      const double bias = std::nearbyint(static_cast<double>(own.bias[o]) / scale);
      y.push_back(reference::quantized((static_cast<double>(sums[i]) + bias) * scale, scale_of(to), zero_of(to)));
    }
    return y;
  };
  std::size_t at = 0;
  int different = 0;
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const auto first = product("first", "x", "first", quantized_row(rows, r, 4 * 36), {4, 8, 6, 6});
    std::vector<int> act;
    for (const int q : first) {
      const double x = scale_of("first") * (q - zero_of("first"));
      const int gate = reference::quantized(1 / (1 + std::exp(-x)), scale_of("act_sigmoid"), zero_of("act_sigmoid"));
      act.push_back(reference::quantized(x * scale_of("act_sigmoid") * gate, scale_of("act"), zero_of("act")));
    }
    for (const int expected : product("second", "act", "second", act, {8, 8, 6, 6, 3, 1, 1, 8})) {
      const double integer = static_cast<double>(found[at++]) / scale_of("second") + zero_of("second");
      // A tie on the way, which float32 decides otherwise than float64, moves a result by one step at most.
      EXPECT_NEAR(integer, expected, 1.001);
      different += std::abs(integer - expected) > 0.5 ? 1 : 0;
    }
  }
  EXPECT_LE(different, static_cast<int>(at) / 100);
}

TEST_F(Rewrite, GivesTheSameInBothEngines) {
  // One step of the tensor between, times the largest weights: where the engines round a tie apart.
  const auto row = Shape{4, 6, 6};
  const Ranges ranges = {{"x", kInput}, {"first", {-6, 6}}, {"act_sigmoid", {0, 1}}, {"act", {-0.3F, 6}}, {"second", {-9, 9}}};
  const auto a = answer(silu_chain(), ranges, EngineKind::onnxruntime, row);
  const auto b = answer(silu_chain(), ranges, EngineKind::openvino, row);
  quantized(silu_chain(), ranges, EngineKind::onnxruntime).graph.save(folder_ / "m.onnx");
  const auto crossed = answers(EngineKind::openvino, folder_ / "m.onnx", row, rows_clear_of_ties(4))[0];
  // The placements differ: five tensors in 8 bits against two. The same file in the other engine rounds ties alone.
  EXPECT_LT(largest_difference(a, b), 0.25F);
  EXPECT_LT(largest_difference(a, crossed), 0.1F);
}

TEST_F(Rewrite, MultipliesByAScalarWithoutAMul) {
  const auto net = [](float factor) {
    Network n({4, 6, 6});
    n.silu("act", n.conv("first", "x", 4, 8));
    n.add("Mul", "scaled", {"act", n.scalar("factor", factor)});
    n.add("Flatten", "y", {n.conv("second", "scaled", 8, 8)});
    n.output("y", {8 * 6 * 6});
    return n;
  };
  const auto ranges = [](float factor) {
    return Ranges{{"x", kInput},       {"first", {-6, 6}},    {"act_sigmoid", {0, 1}},
                  {"act", {-0.3F, 6}}, {"second", {-12, 12}}, {"scaled", {-0.3F * factor, 6 * factor}}};
  };
  const auto [graph, constants] = quantized(net(2), ranges(2), EngineKind::onnxruntime);
  EXPECT_EQ(count_of(graph, "Mul"), 1);  // SiLU's own
  EXPECT_EQ(graph.floats("scaled_scale")[0], 2 * graph.floats("act_scale")[0]);
  graph.save(folder_ / "int8.onnx");
  net(2).save(folder_ / "fp32.onnx");
  const auto rows = rows_clear_of_ties(2);
  const auto int8 = answers(EngineKind::onnxruntime, folder_ / "int8.onnx", {4, 6, 6}, rows)[0];
  const auto fp32 = answers(EngineKind::onnxruntime, folder_ / "fp32.onnx", {4, 6, 6}, rows)[0];
  // A lost factor would be off by half of values up to 12; 8-bit errors are some steps of 24 / 255.
  EXPECT_LT(largest_difference(int8, fp32), 0.6F);
}

TEST_F(Rewrite, RoundsTheBiasToTheScaleOfTheSums) {
  Network net({2, 4, 4});
  net.conv("c", "x", 2, 3);
  net.constant("c.weight", {1.27F, 0, 0, 0.635F, -1.27F, 0}, {3, 2, 1, 1});
  net.constant("c.bias", {0.1F, -0.0025F, 1e9F}, {3});
  net.add("Sigmoid", "y", {"c"});
  net.output("y", {3, 4, 4});
  const auto graph = quantized(net, {{"x", {0, 2.55F}}, {"c", {-1, 1}}}, EngineKind::onnxruntime).graph;
  onnx::TensorProto bias = graph.constants.at("c_bias_quantized");
  std::vector<std::int32_t> values(3);
  std::copy_n(bias.raw_data().data(), 12, reinterpret_cast<char*>(values.data()));
  // 0.1 / (0.01 * 0.01); -0.0025 / (0.01 * 0.005); what 32 bits cannot hold stays clear of the sums' end.
  EXPECT_THAT(values, ElementsAre(1000, -50, (1 << 30) - 1));
  EXPECT_FALSE(quantized(net, {{"x", {0, 2.55F}}}, EngineKind::openvino).graph.is_constant("c_bias_quantized"));
}

TEST_F(Rewrite, HasADequantizeForEachReaderInOnnxRuntimeAndOneForAllInOpenVino) {
  Network net({4, 6, 6});
  net.conv("stem", "x", 4, 4);
  net.silu("act", "stem");
  net.add("Add", "sum", {net.conv("left", "act", 4, 4), net.conv("right", "act", 4, 4)});
  net.add("Softmax", "y", {net.conv("last", "sum", 4, 4)});
  net.output("y", {4, 6, 6});
  const auto graph = net.graph();
  Ranges ranges;
  for (const char* name : {"x", "stem", "act_sigmoid", "act", "left", "right", "sum", "last"}) ranges[name] = {-3, 3};
  for (const auto target : kTargets) {
    const auto written = quantized(net, ranges, target).graph;
    std::set<std::string> readers_of_act;
    for (const auto& use : written.uses("act_quantized")) readers_of_act.insert(written.nodes[use.node].name());
    EXPECT_THAT(readers_of_act, SizeIs(target == EngineKind::onnxruntime ? 2 : 1));
    EXPECT_EQ(count_of(written, "QuantizeLinear"), target == EngineKind::onnxruntime ? 8 : 3);
    std::vector<std::size_t> uses;
    for (const auto& node : written.nodes) {
      if (node.op_type() == "DequantizeLinear" && target == EngineKind::onnxruntime) {
        uses.push_back(written.uses(node.output(0)).size());
      }
    }
    EXPECT_THAT(uses, Each(1U));
  }
}

TEST_F(Rewrite, HoldsEveryWeightOnce) {
  const auto graph = quantized(silu_chain(), {{"x", kInput}, {"act", {-0.3F, 6}}}, EngineKind::openvino).graph;
  EXPECT_FALSE(graph.is_constant("first.weight"));  // float32 weights would make the file five times as large
  EXPECT_FALSE(graph.is_constant("second.weight"));
  EXPECT_EQ(graph.constants.at("first_weights_quantized").data_type(), onnx::TensorProto::INT8);
}

TEST_F(Rewrite, WithoutIntegerProductsIsTheFloatNetwork) {
  const auto net = silu_chain();
  const auto graph = net.graph();
  const auto same = with_quantization(graph, {}, {}, {}, EngineKind::onnxruntime);
  ASSERT_EQ(same.nodes.size(), graph.nodes.size());
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    EXPECT_EQ(same.nodes[n].SerializeAsString(), graph.nodes[n].SerializeAsString());
  }
}

}  // namespace
}  // namespace whimbrel::quantize
