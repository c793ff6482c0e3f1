#include "quantize/constants.h"

#include <gmock/gmock.h>

#include <cmath>

#include "quantize/networks.h"

namespace whimbrel::quantize {
namespace {

const Shape kRow = {3, 8, 8};

class Constants : public InFolder {
 protected:
  Statistics statistics_of(const Graph& graph, const std::set<std::string>& tensors, const std::set<std::string>& last = {},
                           const Shape& row = kRow) const {
    return calibrate(graph, tensors, last, random_rows(8), row, 1, folder_);
  }

  std::vector<float> answer(const Graph& graph, const Shape& row = kRow) const {
    graph.save(folder_ / "m.onnx");
    return answers(EngineKind::onnxruntime, folder_ / "m.onnx", row, random_rows(8))[0];
  }
};

/// Pointwise, Relu or nothing, depthwise; channels of the first convolution differ by up to a factor of `spread`.
Network separable(bool relu, float spread) {
  Network net(kRow);
  net.conv("point", "x", 3, 6);
  auto weights = net.random(18);
  auto bias = net.random(6);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] *= std::pow(spread, -static_cast<float>(i / 3) / 5);
  for (std::size_t i = 0; i < bias.size(); ++i) bias[i] *= std::pow(spread, -static_cast<float>(i) / 5);
  net.constant("point.weight", weights, {6, 3, 1, 1});
  net.constant("point.bias", bias, {6});
  net.conv("depth", relu ? net.add("Relu", "between", {"point"}) : "point", 6, 6, {.kernel = 3, .pad = 1, .group = 6});
  net.add("Sigmoid", "y", {"depth"});
  net.output("y", {6, 8, 8});
  return net;
}

TEST_F(Constants, OfEqualizedPairsComputeTheSame) {
  for (const bool relu : {false, true}) {
    const std::string between = relu ? "between" : "point";
    const auto before = separable(relu, 20).graph();
    auto after = before;
    const auto selection = select_products(before, {}, "m.onnx");
    ASSERT_EQ(equalize(after, selection, statistics_of(before, {between})), 1);
    // Each weight is multiplied and divided once: some float32 steps.
    EXPECT_LT(largest_difference(answer(before), answer(after)), 1e-4F);

    const auto spread = [](const std::vector<float>& most) {
      const auto [least, largest] = std::ranges::minmax(most);
      return largest / least;
    };
    EXPECT_GT(spread(statistics_of(before, {between}).at(between).channel_max), 5);
    EXPECT_LT(spread(statistics_of(after, {between}).at(between).channel_max), 1.0001F);
  }
}

TEST_F(Constants, OfNearlySilentChannelsGrowByALimitedFactor) {
  const auto before = separable(true, 1e6F).graph();
  auto after = before;
  ASSERT_EQ(equalize(after, select_products(before, {}, "m.onnx"), statistics_of(before, {"between"})), 1);
  const auto old_weights = before.floats("point.weight");
  const auto new_weights = after.floats("point.weight");
  float largest = 0;
  for (std::size_t i = 0; i < old_weights.size(); ++i) {
    if (old_weights[i] != 0) largest = std::max(largest, new_weights[i] / old_weights[i]);
  }
  EXPECT_NEAR(largest, 64, 1e-3);
}

TEST_F(Constants, AreNotEqualizedWhereSomethingElseIsInvolved) {
  const auto pairs = [&](const Network& net) {
    auto graph = net.graph();
    return equalize(graph, select_products(graph, {}, "m.onnx"), statistics_of(graph, {"point"}));
  };
  const auto behind = [](const char* between, std::int64_t group, bool second_reader, bool shared_weights) {
    Network net(kRow);
    net.conv("point", "x", 3, 6);
    if (between != nullptr) net.add(between, "between", {"point"});
    net.conv("next", between != nullptr ? "between" : "point", 6, 6, {.kernel = 3, .pad = 1, .group = group});
    net.add("Sigmoid", "y", {"next"});
    net.output("y", {6, 8, 8});
    if (second_reader) {
      net.add("Tanh", "z", {"point"});
      net.output("z", {6, 8, 8});
    }
    if (shared_weights) {
      net.add("Conv", "other", {"x", "point.weight"});
      net.output("other", {6, 8, 8});
    }
    return net;
  };
  EXPECT_EQ(pairs(behind(nullptr, 6, false, false)), 1);
  EXPECT_EQ(pairs(behind(nullptr, 1, false, false)), 0);    // no depthwise convolution
  EXPECT_EQ(pairs(behind(nullptr, 2, false, false)), 0);    // nor are groups
  EXPECT_EQ(pairs(behind("Sigmoid", 6, false, false)), 0);  // sigmoid(c x) is not c sigmoid(x)
  EXPECT_EQ(pairs(behind(nullptr, 6, true, false)), 0);
  EXPECT_EQ(pairs(behind(nullptr, 6, false, true)), 0);
}

TEST_F(Constants, BiasTakesOffWhatRoundedWeightsAddOnAverage) {
  for (const std::int64_t group : {1, 3}) {
    // No padding: each weight meets every value of its channel nearly as often, and inputs of one value a channel just so.
    Network net(kRow);
    net.conv("c", "x", 3, 6, {.kernel = 3, .group = group});
    net.add("Sigmoid", "y", {"c"});
    net.output("y", {6, 6, 6});
    const auto graph = net.graph();
    const auto selection = select_products(graph, {}, "m.onnx");
    const WindowRows rows = {4, [](std::int64_t row, std::span<float> input) {
                               for (std::size_t i = 0; i < input.size(); ++i) {
                                 input[i] = static_cast<float>(i / 64 + 1) + 0.25F * static_cast<float>(row);
                               }
                             }};
    const auto statistics = calibrate(graph, {"x"}, {}, rows, kRow, 1, folder_);
    const auto constants = product_constants(graph, selection, statistics, false).at("c");

    auto rounded = graph;
    const auto weights = graph.floats("c.weight");
    std::vector<float> integers;
    const std::size_t per_output = weights.size() / 6;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      integers.push_back(constants.weights.scales[i / per_output] * static_cast<float>(constants.weights.values[i]));
    }
    rounded.set_floats("c.weight", integers, graph.shape_of("c.weight"));
    const auto uncorrected = rounded;
    rounded.set_floats("c.bias", constants.bias, {6});
    const auto means = [&](const Graph& g) {
      g.with_outputs({"c"}).save(folder_ / "m.onnx");
      const auto values = answers(EngineKind::onnxruntime, folder_ / "m.onnx", kRow, rows)[1];
      std::vector<double> sums(6);
      for (std::size_t i = 0; i < values.size(); ++i) sums[i / 36 % 6] += static_cast<double>(values[i]) / (4 * 36);
      return sums;
    };
    const auto exact = means(graph), corrected = means(rounded), before = means(uncorrected);
    double worst_before = 0;
    for (std::size_t o = 0; o < 6; ++o) {
      EXPECT_NEAR(corrected[o], exact[o], 1e-5);  // float32 sums of values around 10
      worst_before = std::max(worst_before, std::abs(before[o] - exact[o]));
    }
    EXPECT_GT(worst_before, 1e-3) << "there was nothing to correct";
  }
}

TEST_F(Constants, BiasOfAGemmIsCorrectedByTheMeansOfItsLastAxis) {
  for (const bool transposed : {false, true}) {
    Network net({16});
    net.gemm("g", "x", 16, 5, transposed);
    net.add("Sigmoid", "y", {"g"});
    net.output("y", {5});
    const auto graph = net.graph();
    const auto statistics = statistics_of(graph, {"x"}, {"x"}, {16});
    const auto constants = product_constants(graph, select_products(graph, {}, "m.onnx"), statistics, false).at("g");
    const auto weights = graph.floats("g.weight");
    const auto& means = statistics.at("x").channel_mean;
    ASSERT_EQ(means.size(), 16U);
    for (std::size_t o = 0; o < 5; ++o) {
      double expected = static_cast<double>(graph.floats("g.bias")[o]);
      for (std::size_t i = 0; i < 16; ++i) {
        const double w = static_cast<double>(weights[transposed ? o * 16 + i : i * 5 + o]);
        const double scale = static_cast<double>(constants.weights.scales[o]);
        expected -= means[i] * (scale * std::nearbyint(w / scale) - w);
      }
      EXPECT_NEAR(static_cast<double>(constants.bias[o]), expected, 1e-6);
    }
  }
}

TEST_F(Constants, OfAConvolutionWithoutBiasGetOne) {
  Network net(kRow);
  net.conv("c", "x", 3, 6, {.bias = false});
  net.add("Sigmoid", "y", {"c"});
  net.output("y", {6, 8, 8});
  const auto graph = net.graph();
  const auto selection = select_products(graph, {}, "m.onnx");
  EXPECT_EQ(product_constants(graph, selection, statistics_of(graph, {"x"}), false).at("c").bias.size(), 6U);
}

TEST_F(Constants, OfAMatMulHaveNoBias) {
  Network net({4, 8});
  net.add("Sigmoid", "y", {net.matmul("m", "x", 8, 3)});
  net.output("y", {4, 3});
  const auto graph = net.graph();
  const auto all =
      product_constants(graph, select_products(graph, {}, "m.onnx"), statistics_of(graph, {"x"}, {"x"}, {4, 8}), false);
  EXPECT_TRUE(all.at("m").bias.empty());
  EXPECT_EQ(all.at("m").weights.scales.size(), 3U);
}

TEST_F(Constants, OfAConvolutionOverOneChannelAreNarrowedButOfADepthwiseOneAreNot) {
  const auto narrowed = [&](std::int64_t inputs, std::int64_t outputs, std::int64_t group) {
    Network net({inputs, 8, 8});
    net.conv("c", "x", inputs, outputs, {.kernel = 3, .group = group});
    // Nearly all at their largest: any two of those saturate.
    std::vector<float> weights(static_cast<std::size_t>(outputs * 9), 1);
    for (std::size_t i = 8; i < weights.size(); i += 9) weights[i] = 0.301F;
    net.constant("c.weight", weights, {outputs, 1, 3, 3});
    net.add("Sigmoid", "y", {"c"});
    net.output("y", {outputs, 6, 6});
    const auto graph = net.graph();
    const auto statistics = statistics_of(graph, {"x"}, {}, {inputs, 8, 8});
    const auto constants = product_constants(graph, select_products(graph, {}, "m.onnx"), statistics, true).at("c");
    EXPECT_NE(constants.bias, graph.floats("c.bias")) << "not corrected";
    return std::ranges::count(constants.weights.narrowed, true);
  };
  EXPECT_EQ(narrowed(1, 4, 1), 4);
  EXPECT_EQ(narrowed(4, 8, 4), 8);  // two outputs a group: no engine has a depthwise kernel for it
  EXPECT_EQ(narrowed(4, 4, 4), 0);
}

}  // namespace
}  // namespace whimbrel::quantize
