#include "quantize/prepare.h"

#include <gmock/gmock.h>

#include "quantize/networks.h"

namespace whimbrel::quantize {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Shape kRow = {3, 8, 8};
/// The same sums in another order, with factors multiplied into the weights: some float32 steps of values around 1.
constexpr float kSame = 1e-5F;

class Prepare : public InFolder {
 protected:
  Graph prepared(const Network& net, const Shape& row_shape = kRow) const {
    return prepare(net.save(folder_ / "model.onnx"), row_shape, folder_);
  }

  /// The prepared graph, after ONNX Runtime gave the same answers with it as with the original.
  Graph prepared_and_same(const Network& net, const Shape& row_shape = kRow) const {
    const auto graph = prepared(net, row_shape);
    graph.save(folder_ / "prepared.onnx");
    const auto rows = random_rows(3);
    const auto before = answers(EngineKind::onnxruntime, folder_ / "model.onnx", row_shape, rows);
    const auto after = answers(EngineKind::onnxruntime, folder_ / "prepared.onnx", row_shape, rows);
    EXPECT_EQ(before.size(), after.size());
    for (std::size_t i = 0; i < before.size(); ++i) EXPECT_LT(largest_difference(before[i], after[i]), kSame);
    return graph;
  }

  std::string refusal(ErrorCode code, const Network& net, const Shape& row_shape = kRow) const {
    return error_of(code, [&] { prepared(net, row_shape); });
  }
};

TEST_F(Prepare, MergesABatchNormIntoTheConvolutionBeforeIt) {
  Network net(kRow);
  net.conv("c", "x", 3, 4, {.kernel = 3, .pad = 1, .bias = false});
  net.add("BatchNormalization", "bn",
          {"c", net.constant("scale", {1, 0.5F, 2, -1}, {4}), net.constant("shift", {0, 1, -1, 0.5F}, {4}),
           net.constant("mean", {0.1F, 0, -0.2F, 1}, {4}), net.constant("variance", {1, 4, 0.25F, 2}, {4})});
  net.add("Relu", "y", {"bn"});
  net.output("y", {4, 8, 8});
  const auto graph = prepared_and_same(net);
  EXPECT_EQ(count_of(graph, "BatchNormalization"), 0);
  ASSERT_EQ(graph.nodes.size(), 2U);
  EXPECT_EQ(graph.nodes[0].input_size(), 3);  // the shift became a bias
}

Network mean_of_planes(std::int64_t keepdims, const std::vector<std::int64_t>& axes, bool axes_are_an_input) {
  Network net(kRow);
  net.conv("c", "x", 3, 4);
  std::vector<std::string> inputs = {"c"};
  if (axes_are_an_input) {
    net.set_opset(18);
    inputs.push_back(net.constant("axes", axes));
  }
  net.add("ReduceMean", "mean", inputs);
  if (!axes_are_an_input) net.set("axes", axes);
  net.set("keepdims", keepdims);
  net.add("Relu", "y", {"mean"});
  net.output("y", keepdims != 0 ? Shape{4, 1, 1} : Shape{4});
  return net;
}

TEST_F(Prepare, MakesAMeanOverPlanesAnAveragePool) {
  for (const bool axes_are_an_input : {false, true}) {
    for (const auto& axes : {std::vector<std::int64_t>{2, 3}, {-1, -2}, {3, -2}}) {
      const auto graph = prepared_and_same(mean_of_planes(1, axes, axes_are_an_input));
      EXPECT_EQ(count_of(graph, "GlobalAveragePool"), 1);
      EXPECT_EQ(count_of(graph, "ReduceMean"), 0);
      EXPECT_EQ(count_of(graph, "Squeeze"), 0);
    }
  }
}

TEST_F(Prepare, SqueezesTheAveragePoolOfAMeanThatDropsItsAxes) {
  const auto graph = prepared_and_same(mean_of_planes(0, {2, 3}, true));
  EXPECT_EQ(count_of(graph, "GlobalAveragePool"), 1);
  EXPECT_EQ(count_of(graph, "Squeeze"), 1);
}

TEST_F(Prepare, LeavesMeansOverOtherAxesAlone) {
  Network net(kRow);
  net.add("ReduceMean", "mean", {net.conv("c", "x", 3, 4)});
  net.set("axes", std::vector<std::int64_t>{2});
  net.set("keepdims", std::int64_t{0});
  net.add("Relu", "y", {"mean"});
  net.output("y", {4, 8});
  const auto graph = prepared_and_same(net);
  EXPECT_EQ(count_of(graph, "ReduceMean"), 1);
  EXPECT_EQ(count_of(graph, "GlobalAveragePool"), 0);
}

/// A gate per channel, expanded to the planes that it multiplies as some exporters write it.
Network expanded_gate(const std::string& reader) {
  Network net(kRow);
  net.conv("c", "x", 3, 4);
  net.add("Sigmoid", "gate", {net.conv("narrow", net.add("GlobalAveragePool", "pool", {"c"}), 4, 4)});
  net.add("Shape", "shape", {"c"});
  net.add("Expand", "wide", {"gate", "shape"});
  net.add(reader, "gated", reader == "Concat" ? std::vector<std::string>{"c", "wide"} : std::vector<std::string>{"wide", "c"});
  if (reader == "Concat") net.set("axis", std::int64_t{1});
  net.add("Relu", "y", {"gated"});
  net.output("y", {reader == "Concat" ? 8 : 4, 8, 8});
  return net;
}

TEST_F(Prepare, RemovesAnExpandBeforeAnOperatorThatBroadcasts) {
  for (const char* reader : {"Mul", "Add", "Sub", "Div"}) {
    const auto graph = prepared_and_same(expanded_gate(reader));
    EXPECT_EQ(count_of(graph, "Expand"), 0) << reader;
    EXPECT_EQ(count_of(graph, "Shape"), 0) << reader;
  }
}

TEST_F(Prepare, KeepsAnExpandThatSomethingElseReads) {
  EXPECT_EQ(count_of(prepared_and_same(expanded_gate("Concat")), "Expand"), 1);
}

TEST_F(Prepare, KeepsAnExpandThatMakesBothSidesWider) {
  Network net(kRow);
  net.add("GlobalAveragePool", "pool", {net.conv("c", "x", 3, 4)});
  net.add("Expand", "wide", {"pool", net.constant("shape", std::vector<std::int64_t>{1, 4, 5, 1})});
  net.add("Mul", "product", {"wide", "pool"});  // [batch, 4, 5, 1] times [batch, 4, 1, 1]
  net.add("Relu", "y", {"product"});
  net.output("y", {4, 5, 1});
  EXPECT_EQ(count_of(prepared_and_same(net), "Expand"), 1);
}

TEST_F(Prepare, FoldsAScalarIntoTheConvolutionBeforeIt) {
  for (const bool scalar_first : {false, true}) {
    Network net(kRow);
    net.conv("c", "x", 3, 4, {.kernel = 3, .pad = 1});
    const auto factor = net.scalar("factor", -1.7F);
    net.add("Mul", "scaled", scalar_first ? std::vector{factor, std::string("c")} : std::vector{std::string("c"), factor});
    net.silu("y", "scaled");
    net.output("y", {4, 8, 8});
    const auto graph = prepared_and_same(net);
    EXPECT_EQ(count_of(graph, "Mul"), 1);  // SiLU's own
  }
}

TEST_F(Prepare, FoldsAScalarIntoTheConvolutionsBehindIt) {
  Network net(kRow);
  net.silu("act", net.conv("c", "x", 3, 4));
  net.add("Mul", "scaled", {"act", net.scalar("factor", 1.7F)});
  net.conv("left", "scaled", 4, 4, {.kernel = 3, .pad = 1});
  net.conv("right", "scaled", 4, 4);
  net.add("Relu", "y", {net.add("Add", "sum", {"left", "right"})});
  net.output("y", {4, 8, 8});
  EXPECT_EQ(count_of(prepared_and_same(net), "Mul"), 1);
}

TEST_F(Prepare, FoldsAScalarForOneOfTwoConvolutionsThatShareWeights) {
  Network net(kRow);
  net.conv("a", "x", 3, 3, {.kernel = 3, .pad = 1});
  net.add("Conv", "b", {net.add("Relu", "relu", {"a"}), "a.weight", "a.bias"});
  net.set("pads", std::vector<std::int64_t>{1, 1, 1, 1});
  net.add("Mul", "scaled", {"b", net.scalar("factor", 3)});
  net.add("Relu", "y", {"scaled"});
  net.output("y", {3, 8, 8});
  EXPECT_EQ(count_of(prepared_and_same(net), "Mul"), 0);
}

TEST_F(Prepare, LeavesAScalarThatMeetsOtherOperators) {
  Network net(kRow);
  net.silu("act", net.conv("c", "x", 3, 4));
  net.add("Mul", "scaled", {"act", net.scalar("factor", 1.7F)});
  net.conv("left", "scaled", 4, 4);
  net.add("Add", "sum", {"left", "scaled"});
  net.add("Relu", "y", {"sum"});
  net.output("y", {4, 8, 8});
  EXPECT_EQ(count_of(prepared_and_same(net), "Mul"), 2);
}

TEST_F(Prepare, LeavesAScalarWhoseConvolutionIsReadTwice) {
  Network net(kRow);
  net.conv("c", "x", 3, 4);
  net.add("Mul", "scaled", {"c", net.scalar("factor", 1.7F)});
  net.add("Relu", "y", {net.add("Add", "sum", {"scaled", "c"})});
  net.output("y", {4, 8, 8});
  EXPECT_EQ(count_of(prepared_and_same(net), "Mul"), 1);
}

TEST_F(Prepare, NamesEveryNodeOnce) {
  Network net(kRow);
  net.add("Relu", "y", {net.conv("c", net.conv("b", "x", 3, 3), 3, 3)});
  net.output("y", {3, 8, 8});
  auto graph = net.graph();
  graph.nodes[0].clear_name();
  graph.nodes[2].clear_name();
  graph.save(folder_ / "model.onnx");
  const auto found = prepare(folder_ / "model.onnx", kRow, folder_);
  std::set<std::string> names;
  for (const auto& node : found.nodes) names.insert(node.name());
  EXPECT_EQ(names.size(), 3U);
  EXPECT_FALSE(names.contains(""));
}

TEST_F(Prepare, FixesFreeAxesByTheRowAndLeavesTheBatchFree) {
  Network net({3, -1, -1});
  net.add("Relu", "y", {net.conv("c", "x", 3, 4, {.kernel = 3, .stride = 2, .pad = 1})});
  net.output("y", {4, -1, -1});
  const auto graph = prepared_and_same(net, {3, 9, 16});
  EXPECT_THAT(shape_of_row(graph, "x"), ElementsAre(-1, 3, 9, 16));
  EXPECT_THAT(shape_of_row(graph, "c"), ElementsAre(-1, 4, 5, 8));
  EXPECT_THAT(shape_of_row(graph, graph.nodes[0].input(1)), ElementsAre(4, 3, 3, 3));
  EXPECT_THAT(shape_of_row(graph, "no such tensor"), ElementsAre());
}

TEST_F(Prepare, LeavesNoFilesBehind) {
  Network net(kRow);
  net.add("Relu", "y", {net.conv("c", "x", 3, 4)});
  net.output("y", {4, 8, 8});
  prepared(net);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);  // the model
}

Network one_convolution(const Shape& row = kRow) {
  Network net(row);
  net.add("Relu", "y", {net.conv("c", "x", 3, 4)});
  net.output("y", {4, row[1], row[2]});
  return net;
}

TEST_F(Prepare, RefusesARowThatContradictsTheModel) {
  EXPECT_THAT(refusal(ErrorCode::bad_manifest, one_convolution(), {3, 8, 9}),
              AllOf(HasSubstr("axis 3 of the input is 8"), HasSubstr("makes 9"), HasSubstr("manifest")));
  EXPECT_THAT(refusal(ErrorCode::bad_manifest, one_convolution(), {64}),
              AllOf(HasSubstr("4 axes"), HasSubstr("[64]"), HasSubstr("manifest")));
}

TEST_F(Prepare, RefusesAnInputThatIsNotFloat32) {
  auto net = one_convolution();
  auto& input = *net.rest().mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type();
  input.set_elem_type(onnx::TensorProto::FLOAT16);
  EXPECT_THAT(refusal(ErrorCode::bad_manifest, net), HasSubstr("the input is not float32"));
}

TEST_F(Prepare, RefusesOldOpsets) {
  auto net = one_convolution();
  net.set_opset(12);
  EXPECT_THAT(refusal(ErrorCode::unsupported, net), AllOf(HasSubstr("opset 12, expected 13"), HasSubstr("export")));
}

TEST_F(Prepare, RefusesControlFlow) {
  for (const char* type : {"If", "Loop", "Scan"}) {
    auto net = one_convolution();
    net.add(type, "flow", {"c"});
    EXPECT_THAT(refusal(ErrorCode::unsupported, net),
                AllOf(HasSubstr("control flow"), HasSubstr("'flow' is " + std::string(type))));
  }
}

TEST_F(Prepare, RefusesWhatIsQuantizedAlready) {
  for (const char* type : {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearAdd", "ConvInteger", "MatMulInteger",
                           "DynamicQuantizeLinear"}) {
    auto net = one_convolution();
    net.add(type, "integers", {"c"});
    EXPECT_THAT(refusal(ErrorCode::unsupported, net),
                AllOf(HasSubstr("quantized already"), HasSubstr("'integers' is " + std::string(type)), HasSubstr("float32")));
  }
}

}  // namespace
}  // namespace whimbrel::quantize
