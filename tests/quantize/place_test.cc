#include "quantize/place.h"

#include <gmock/gmock.h>

#include <cmath>

#include "quantize/networks.h"

namespace whimbrel::quantize {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

struct Placed {
  Graph graph;
  Placement placement;

  std::set<std::string> integer() const {
    std::set<std::string> names;
    for (const auto n : placement.integer_nodes) names.insert(graph.nodes[n].name());
    return names;
  }
};

using Place = Placement (*)(const Graph&, const Selection&, const ProductNames&);

/// All products are integer but those in `in_float`.
Placed place(const Network& net, Place place_for, const ProductNames& in_float = {}) {
  Placed placed{net.graph(), {}};
  const auto selection = select_products(placed.graph, {}, "m.onnx");
  ProductNames integer;
  for (const auto& product : selection.products) {
    if (!in_float.contains(product.name)) integer.insert(product.name);
  }
  placed.placement = place_for(placed.graph, selection, integer);
  return placed;
}

/// Two convolutions with `between` from the first to what the second reads, then a float end.
template <typename Between>
Network around(Between&& between) {
  Network net({4, 8, 8});
  net.conv("first", "x", 4, 4);
  net.conv("second", between(net), 4, 4);
  net.add("Softmax", "y", {"second"});
  net.output("y", {4, 8, 8});
  return net;
}

TEST(PlaceForOnnxRuntime, LetsIntegersFlowThroughSiLU) {
  const auto placed = place(around([](Network& net) { return net.silu("act", "first"); }), place_for_onnxruntime);
  EXPECT_THAT(placed.integer(), UnorderedElementsAre("first", "act_sigmoid", "act", "second"));
  EXPECT_THAT(placed.placement.tensors, UnorderedElementsAre("x", "first", "act_sigmoid", "act", "second"));
  EXPECT_THAT(placed.placement.shares, IsEmpty());
  EXPECT_THAT(placed.placement.scaled, IsEmpty());
}

TEST(PlaceForOnnxRuntime, LetsIntegersFlowThroughASqueezeAndExciteBlock) {
  const auto network = around([](Network& net) {
    net.add("Relu", "narrow_relu", {net.conv("narrow", net.add("GlobalAveragePool", "pool", {"first"}), 4, 2)});
    net.add("Sigmoid", "gate", {net.conv("wide", "narrow_relu", 2, 4)});
    return net.add("Mul", "gated", {"first", "gate"});
  });
  const auto placed = place(network, place_for_onnxruntime);
  EXPECT_THAT(placed.integer(), UnorderedElementsAre("first", "pool", "narrow", "wide", "gate", "gated", "second"));
  EXPECT_THAT(placed.placement.tensors,
              UnorderedElementsAre("x", "first", "pool", "narrow_relu", "wide", "gate", "gated", "second"));
}

TEST(PlaceForOnnxRuntime, AbsorbsReluAndClip) {
  for (const char* type : {"Relu", "Clip"}) {
    const auto placed = place(around([&](Network& net) { return net.add(type, "clipped", {"first"}); }), place_for_onnxruntime);
    EXPECT_THAT(placed.integer(), UnorderedElementsAre("first", "second"));
    EXPECT_THAT(placed.placement.tensors, UnorderedElementsAre("x", "clipped", "second"));
    EXPECT_EQ(quantized_output(placed.graph, placed.graph.nodes[0]), "clipped");
  }
}

TEST(PlaceForOnnxRuntime, DoesNotAbsorbAReluBesideAnotherReader) {
  const auto network = around([](Network& net) {
    net.add("Relu", "relu", {"first"});
    return net.add("Add", "sum", {"relu", "first"});
  });
  const auto placed = place(network, place_for_onnxruntime);
  EXPECT_EQ(quantized_output(placed.graph, placed.graph.nodes[0]), "first");
  EXPECT_THAT(placed.integer(), UnorderedElementsAre("first", "second"));  // Relu alone has no integer kernel, so nor has Add
  EXPECT_THAT(placed.placement.tensors, UnorderedElementsAre("x", "first", "sum", "second"));
}

TEST(PlaceForOnnxRuntime, LeavesWhatIsBehindTheLastProductInFloat) {
  Network net({4, 8, 8});
  net.silu("act", net.conv("only", "x", 4, 4));
  net.add("Flatten", "y", {net.add("GlobalAveragePool", "pool", {"act"})});
  net.output("y", {4});
  const auto placed = place(net, place_for_onnxruntime);
  EXPECT_THAT(placed.integer(), UnorderedElementsAre("only"));
  EXPECT_THAT(placed.placement.tensors, UnorderedElementsAre("x", "only"));
}

TEST(PlaceForOnnxRuntime, LeavesASideBranchToTheEndInFloat) {
  const auto network = around([](Network& net) {
    net.add("Sigmoid", "aside", {"first"});
    net.output("aside", {4, 8, 8});
    return net.add("LeakyRelu", "main", {"first"});
  });
  EXPECT_THAT(place(network, place_for_onnxruntime).integer(), UnorderedElementsAre("first", "main", "second"));
}

TEST(PlaceForOnnxRuntime, GivesWhatMovesValuesTheScaleOfItsInput) {
  const auto network = around([](Network& net) {
    net.add("MaxPool", "pooled", {net.add("LeakyRelu", "act", {"first"})});
    net.set("kernel_shape", std::vector<std::int64_t>{1, 1});
    net.add("Transpose", "turned", {"pooled"});
    net.set("perm", std::vector<std::int64_t>{0, 1, 3, 2});
    return net.add("Reshape", "shaped", {"turned", net.constant("shape", std::vector<std::int64_t>{0, 4, 8, 8})});
  });
  const auto placed = place(network, place_for_onnxruntime);
  EXPECT_THAT(placed.integer(), UnorderedElementsAre("first", "act", "pooled", "turned", "shaped", "second"));
  const std::map<std::string, std::string> expected = {{"pooled", "act"}, {"turned", "pooled"}, {"shaped", "turned"}};
  EXPECT_EQ(placed.placement.shares, expected);
}

TEST(PlaceForOnnxRuntime, MakesAPositiveScalarAScale) {
  for (const bool scalar_first : {false, true}) {
    const auto network = around([&](Network& net) {
      net.silu("act", "first");
      const auto factor = net.scalar("factor", 1.7F);
      return net.add("Mul", "scaled",
                     scalar_first ? std::vector<std::string>{factor, "act"} : std::vector{std::string("act"), factor});
    });
    const auto placed = place(network, place_for_onnxruntime);
    ASSERT_EQ(placed.placement.scaled.size(), 1U);
    EXPECT_EQ(placed.placement.scaled.at("scaled").from, "act");
    EXPECT_EQ(placed.placement.scaled.at("scaled").factor, 1.7F);
  }
}

TEST(PlaceForOnnxRuntime, LeavesOtherConstantsInFloat) {
  // Integers times -1 are not the same integers, and a vector would need 8 bits of its own.
  for (const auto& [values, shape] : {std::pair{std::vector<float>{-1.7F}, Shape{}}, {{1, 2, 3, 4}, {4, 1, 1}}}) {
    const auto network = around([&](Network& net) {
      net.silu("act", "first");
      return net.add("Mul", "scaled", {"act", net.constant("factor", values, shape)});
    });
    const auto placed = place(network, place_for_onnxruntime);
    EXPECT_THAT(placed.integer(), UnorderedElementsAre("first", "second"));
    EXPECT_THAT(placed.placement.scaled, IsEmpty());
  }
}

TEST(PlaceForOnnxRuntime, StopsAtAProductInFloat) {
  Network net({4, 8, 8});
  net.silu("act", net.conv("first", "x", 4, 4));
  net.silu("act2", net.conv("second", "act", 4, 4));
  net.add("Softmax", "y", {net.conv("third", "act2", 4, 4)});
  net.output("y", {4, 8, 8});
  const auto placed = place(net, place_for_onnxruntime, {"second"});
  EXPECT_THAT(placed.integer(), UnorderedElementsAre("first", "third"));
  EXPECT_THAT(placed.placement.tensors, UnorderedElementsAre("x", "first", "act2", "third"));
}

TEST(PlaceForOpenVino, QuantizesWhatProductsReadAndNothingElse) {
  const auto network = around([](Network& net) {
    net.add("Sigmoid", "gate", {net.conv("narrow", net.add("GlobalAveragePool", "pool", {"first"}), 4, 4)});
    return net.add("Mul", "gated", {net.silu("act", "first"), "gate"});
  });
  const auto placed = place(network, place_for_openvino);
  EXPECT_THAT(placed.integer(), UnorderedElementsAre("first", "narrow", "second"));
  EXPECT_THAT(placed.placement.tensors, UnorderedElementsAre("x", "pool", "gated"));
  EXPECT_THAT(place(network, place_for_openvino, {"narrow"}).placement.tensors, UnorderedElementsAre("x", "gated"));
}

TEST(FunctionBehind, IsSiLUSigmoidOrTanhWhereNothingElseReads) {
  const auto behind = [](auto&& between) { return function_behind(around(between).graph(), "first"); };
  const auto silu = behind([](Network& net) { return net.silu("act", "first"); });
  const auto sigmoid = behind([](Network& net) { return net.add("Sigmoid", "act", {"first"}); });
  const auto tanh = behind([](Network& net) { return net.add("Tanh", "act", {"first"}); });
  ASSERT_TRUE(silu && sigmoid && tanh);
  for (const double x : {-8.0, -1.0, 0.0, 0.5, 8.0}) {
    EXPECT_DOUBLE_EQ(sigmoid(x), 1 / (1 + std::exp(-x)));
    EXPECT_DOUBLE_EQ(silu(x), x / (1 + std::exp(-x)));
    EXPECT_DOUBLE_EQ(tanh(x), std::tanh(x));
  }
  EXPECT_FALSE(behind([](Network& net) { return net.add("Relu", "act", {"first"}); }));
  EXPECT_FALSE(behind([](Network& net) { return net.add("Add", "sum", {net.silu("act", "first"), "first"}); }));
  EXPECT_FALSE(behind([](Network& net) {  // another tensor times the gate
    net.add("Sigmoid", "gate", {"first"});
    return net.add("Mul", "gated", {net.add("Relu", "relu", {"first"}), "gate"});
  }));
}

}  // namespace
}  // namespace whimbrel::quantize
