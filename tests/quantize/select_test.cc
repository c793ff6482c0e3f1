#include "quantize/select.h"

#include <gmock/gmock.h>

#include "quantize/networks.h"
#include "quantize/prepare.h"

namespace whimbrel::quantize {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;

std::vector<std::string> names_of(const Selection& selection) {
  std::vector<std::string> names;
  for (const auto& product : selection.products) names.push_back(product.name);
  return names;
}

/// Two learned convolutions, pooled to logits.
void add_network(Network& net, const std::string& from) {
  net.silu("act", net.conv("first", from, 1, 8, {.kernel = 3, .pad = 1}));
  net.add("Relu", "relu", {net.conv("second", "act", 8, 8, {.kernel = 3, .pad = 1})});
  net.add("Flatten", "flat", {net.add("GlobalAveragePool", "pool", {"relu"})});
  net.gemm("head", "flat", 8, 5);
  net.add("Sigmoid", "y", {"head"});
  net.output("y", {5});
}

Network plain_network() {
  Network net({1, 16, 16});
  add_network(net, "x");
  return net;
}

/// Frames -> windowed DFT -> power -> mel -> log, as `whimbrel` computes it outside.
Network with_front_end(bool dft_by_convolution) {
  Network net(dft_by_convolution ? Shape{1, 1, 256} : Shape{16, 32});
  for (const char* part : {"real", "imaginary"}) {
    if (dft_by_convolution) {
      net.add("Conv", part, {"x", net.constant(part + std::string(".table"), net.random(17 * 32), {17, 1, 1, 32})});
      net.set("strides", std::vector<std::int64_t>{1, 16});
    } else {
      net.matmul(part, "x", 32, 17);
    }
    net.add("Mul", part + std::string("_squared"), {part, part});
  }
  net.add("Add", "power", {"real_squared", "imaginary_squared"});
  if (dft_by_convolution) {
    net.add("Squeeze", "frames_last", {"power", net.constant("axis_2", std::vector<std::int64_t>{2})});
    net.add("Transpose", "frames_first", {"frames_last"});
    net.set("perm", std::vector<std::int64_t>{0, 2, 1});
  }
  net.matmul("mel", dft_by_convolution ? "frames_first" : "power", 17, 12);
  net.add("Log", "log", {net.add("Max", "floored", {"mel", net.scalar("amin", 1e-10F)})});
  net.add("Sub", "centred", {"log", net.add("ReduceMean", "mean", {"log"})});
  net.add("Unsqueeze", "plane", {"centred", net.constant("axis_1", std::vector<std::int64_t>{1})});
  add_network(net, "plane");
  return net;
}

TEST(FrontEnd, IsFoundByItsSpectralOperators) {
  for (const bool dft_by_convolution : {false, true}) {
    const auto graph = with_front_end(dft_by_convolution).graph();
    const auto inside = front_end_nodes(graph);
    for (const char* name : {"real", "imaginary", "real_squared", "power", "mel", "log"}) EXPECT_THAT(inside, Contains(name));
    for (const char* name : {"first", "act", "second", "head"}) EXPECT_THAT(inside, Not(Contains(name)));
    const auto selection = select_products(graph, {}, "m.onnx");
    EXPECT_THAT(names_of(selection), ElementsAre("first", "second", "head"));
    ASSERT_EQ(selection.kept.size(), 3U);
    for (const char* name : {"real", "imaginary", "mel"}) {
      EXPECT_EQ(selection.kept.at(name).why, "belongs to the front end inside the graph");
    }
  }
}

TEST(FrontEnd, EndsWithAnyOfManySpectralOperators) {
  for (const char* type : {"Log", "Sqrt", "Abs", "Pow"}) {
    Network net({1, 16, 16});
    net.conv("dft", "x", 1, 1);
    std::vector<std::string> inputs = {"dft"};
    if (std::string(type) == "Pow") inputs.push_back(net.scalar("two", 2));
    net.add(type, "spectral", inputs);
    add_network(net, "spectral");
    EXPECT_THAT(front_end_nodes(net.graph()), ElementsAre("dft", "spectral")) << type;
  }
}

TEST(FrontEnd, IsEmptyWhereTheGraphBeginsWithTheNetwork) { EXPECT_THAT(front_end_nodes(plain_network().graph()), IsEmpty()); }

TEST(FrontEnd, IsNotAPoolingWithPowersAtTheEnd) {
  // GeM: mean(clip(x) ^ p) ^ (1/p) (Radenovic et al., 2018).
  Network net({1, 16, 16});
  net.add("Relu", "relu", {net.conv("c", "x", 1, 8, {.kernel = 3, .pad = 1})});
  net.add("Pow", "powers", {net.add("Clip", "clip", {"relu", net.scalar("least", 1e-6F)}), net.scalar("p", 3)});
  net.add("Pow", "roots", {net.add("GlobalAveragePool", "mean", {"powers"}), net.scalar("one_pth", 1 / 3.0F)});
  net.gemm("head", net.add("Flatten", "flat", {"roots"}), 8, 5);
  net.add("Log", "logarithm", {net.add("Sigmoid", "probability", {"head"})});
  net.output("logarithm", {5});
  EXPECT_THAT(front_end_nodes(net.graph()), IsEmpty());
  EXPECT_THAT(names_of(select_products(net.graph(), {}, "m.onnx")), ElementsAre("c", "head"));
}

TEST(Select, CountsMultiplyAccumulates) {
  class Files : public InFolder {
   public:
    void TestBody() override {}
    using InFolder::folder_;
  } files;
  const auto graph = prepare(plain_network().save(files.folder_ / "m.onnx"), {1, 16, 16}, files.folder_);
  const auto selection = select_products(graph, {"head"}, "m.onnx");
  ASSERT_EQ(selection.products.size(), 2U);
  EXPECT_EQ(selection.products[0].macs, 16 * 16 * 8 * 9);
  EXPECT_EQ(selection.products[1].macs, 16 * 16 * 8 * 8 * 9);
  EXPECT_EQ(selection.kept.at("head").macs, 8 * 5);
}

TEST(Select, KeepsNodesByNameAndByOperator) {
  const auto graph = plain_network().graph();
  const auto by_name = select_products(graph, {"second"}, "m.onnx");
  EXPECT_THAT(names_of(by_name), ElementsAre("first", "head"));
  EXPECT_EQ(by_name.kept.at("second").why, "kept in float as asked");
  const auto by_operator = select_products(graph, {"Conv"}, "m.onnx");
  EXPECT_THAT(names_of(by_operator), ElementsAre("head"));
  EXPECT_THAT(by_operator.kept, AllOf(Contains(Key("first")), Contains(Key("second"))));
}

TEST(Select, RefusesAWordToKeepThatNamesNothing) {
  const auto graph = plain_network().graph();
  const auto refusal = [&](const std::string& word) {
    return error_of(ErrorCode::invalid_argument, [&] { select_products(graph, {word}, "m.onnx"); });
  };
  EXPECT_THAT(refusal("secnd"), AllOf(HasSubstr("m.onnx"), HasSubstr("'secnd'"), HasSubstr("did you mean second")));
  EXPECT_THAT(refusal("conv"), HasSubstr("did you mean Conv"));
  EXPECT_THAT(refusal("something else"), AllOf(HasSubstr("'something else'"), Not(HasSubstr("did you mean"))));
}

TEST(Select, RefusesAModelWithoutProducts) {
  Network net({4});
  net.add("Sigmoid", "y", {net.add("Relu", "relu", {"x"})});
  net.output("y", {4});
  EXPECT_THAT(error_of(ErrorCode::unsupported, [&] { select_products(net.graph(), {}, "m.onnx"); }),
              AllOf(HasSubstr("m.onnx"), HasSubstr("no convolution or product"), HasSubstr("gains nothing")));
  EXPECT_THAT(error_of(ErrorCode::unsupported, [&] { select_products(plain_network().graph(), {"Conv", "Gemm"}, "m.onnx"); }),
              AllOf(HasSubstr("3 stay in float"), HasSubstr("as asked")));
}

TEST(Select, LeavesWhatMakesAnOutputInFloat) {
  Network net({1, 16, 16});
  net.conv("frames", net.silu("act", net.conv("c", "x", 1, 8)), 8, 4);
  net.output("frames", {4, 16, 16});
  const auto selection = select_products(net.graph(), {}, "m.onnx");
  EXPECT_THAT(names_of(selection), ElementsAre("c"));
  EXPECT_EQ(selection.kept.at("frames").why, "makes an output of the network");
}

TEST(Select, IgnoresProductsOfTwoTensors) {
  Network net({4, 8});
  net.matmul("queries", "x", 8, 8);
  net.add("Transpose", "turned", {net.matmul("keys", "x", 8, 8)});
  net.set("perm", std::vector<std::int64_t>{0, 2, 1});
  net.add("Softmax", "y", {net.add("MatMul", "attention", {"queries", "turned"})});
  net.output("y", {4, 4});
  const auto selection = select_products(net.graph(), {}, "m.onnx");
  EXPECT_THAT(names_of(selection), ElementsAre("queries", "keys"));
  EXPECT_THAT(selection.kept, IsEmpty());
}

TEST(Select, TakesAConvolutionWhoseBiasIsLeftOut) {
  Network net({1, 16, 16});
  net.add("Conv", "c", {"x", net.constant("w", net.random(8), {8, 1, 1, 1}), ""});  // as some exporters write "none"
  net.add("Relu", "y", {"c"});
  net.output("y", {8, 16, 16});
  EXPECT_THAT(names_of(select_products(net.graph(), {}, "m.onnx")), ElementsAre("c"));
}

TEST(Select, LeavesGemmsWithFactorsInFloat) {
  for (const char* factor : {"alpha", "beta"}) {
    Network net({8});
    net.gemm("plain", "x", 8, 8);
    net.gemm("scaled", "plain", 8, 8);
    auto graph = net.graph();
    auto& attribute = *graph.nodes.back().add_attribute();
    attribute.set_name(factor);
    attribute.set_type(onnx::AttributeProto::FLOAT);
    attribute.set_f(0.5F);
    graph.nodes.push_back(make_node("Sigmoid", "y", {"scaled"}, "y"));
    graph.index();
    const auto selection = select_products(graph, {}, "m.onnx");
    EXPECT_THAT(names_of(selection), ElementsAre("plain"));
    EXPECT_THAT(selection.kept.at("scaled").why, HasSubstr("scaled"));
  }
}

}  // namespace
}  // namespace whimbrel::quantize
