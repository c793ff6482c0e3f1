#include "quantize/graph.h"

#include <gmock/gmock.h>

#include "quantize/networks.h"

namespace whimbrel::quantize {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Shape kRow = {3, 8, 8};

/// Two convolutions whose weights are 1728 and 4608 bytes.
Network two_convolutions() {
  Network net(kRow);
  net.conv("first", "x", 3, 16, {.kernel = 3, .pad = 1});
  net.conv("second", net.add("Relu", "relu", {"first"}), 16, 8, {.kernel = 3, .pad = 1});
  net.output("second", {8, 8, 8});
  return net;
}

class GraphFile : public InFolder {
 protected:
  /// A model whose first weights are external, at the place that is given.
  fs::path with_external(const std::string& location, const std::string& offset = "", const std::string& length = "") const {
    auto graph = two_convolutions().graph();
    auto& tensor = graph.constants.at("first.weight");
    tensor.clear_raw_data();
    tensor.set_data_location(onnx::TensorProto::EXTERNAL);
    const auto add = [&](const char* key, const std::string& value) {
      if (value.empty()) return;
      auto& e = *tensor.add_external_data();
      e.set_key(key);
      e.set_value(value);
    };
    add("location", location);
    add("offset", offset);
    add("length", length);
    graph.save(folder_ / "model" / "m.onnx");
    return folder_ / "model" / "m.onnx";
  }

  std::string refusal(const fs::path& path) const {
    return error_of(ErrorCode::bad_manifest, [&] { Graph::load(path); });
  }

  void expect_same(const Graph& found, const Graph& expected) const {
    ASSERT_EQ(found.nodes.size(), expected.nodes.size());
    for (std::size_t n = 0; n < found.nodes.size(); ++n) {
      EXPECT_EQ(found.nodes[n].SerializeAsString(), expected.nodes[n].SerializeAsString());
    }
    ASSERT_EQ(found.constants.size(), expected.constants.size());
    for (const auto& [name, tensor] : expected.constants) {
      EXPECT_EQ(found.constants.at(name).SerializeAsString(), tensor.SerializeAsString()) << name;
    }
    EXPECT_EQ(found.rest.SerializeAsString(), expected.rest.SerializeAsString());
  }
};

TEST_F(GraphFile, IsTheSameAfterSavingAndLoading) {
  auto graph = two_convolutions().graph();
  graph.set_metadata("key", "value");
  graph.save(folder_ / "m.onnx");
  expect_same(Graph::load(folder_ / "m.onnx"), graph);
  EXPECT_FALSE(fs::exists(folder_ / "m.onnx.data"));
}

TEST_F(GraphFile, PutsLargeConstantsBesideItselfAndFindsThemAgain) {
  const auto graph = two_convolutions().graph();
  graph.save(folder_ / "m.onnx", 2000);
  EXPECT_GE(fs::file_size(folder_ / "m.onnx.data"), 1728 + 4608);
  EXPECT_LT(fs::file_size(folder_ / "m.onnx"), 2000);
  expect_same(Graph::load(folder_ / "m.onnx"), graph);
}

TEST_F(GraphFile, WithExternalDataIsReadByEnginesToo) {
  const auto graph = two_convolutions().graph();
  graph.save(folder_ / "inside.onnx");
  graph.save(folder_ / "beside.onnx", 2000);
  const auto rows = random_rows(2);
  for (const auto engine : {EngineKind::onnxruntime, EngineKind::openvino}) {
    EXPECT_EQ(answers(engine, folder_ / "inside.onnx", kRow, rows), answers(engine, folder_ / "beside.onnx", kRow, rows));
  }
}

TEST_F(GraphFile, AlignsExternalDataToPages) {
  two_convolutions().graph().save(folder_ / "m.onnx", 0);
  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(bytes_of(folder_ / "m.onnx")));
  int external = 0;
  for (const auto& tensor : model.graph().initializer()) {
    for (const auto& e : tensor.external_data()) {
      if (e.key() != "offset") continue;
      EXPECT_EQ(std::stoll(e.value()) % 4096, 0);
      ++external;
    }
  }
  EXPECT_EQ(external, 2);  // biases are small and stay inside
}

TEST_F(GraphFile, WithAnOffsetAndNoLengthGoesToTheEnd) {
  const auto path = with_external("weights.bin", "16");
  const auto weights = two_convolutions().graph().constants.at("first.weight").raw_data();
  file("model/weights.bin", std::string(16, '?') + weights);
  EXPECT_EQ(Graph::load(path).constants.at("first.weight").raw_data(), weights);
}

TEST_F(GraphFile, RefusesExternalDataAboveItsFolder) {
  const auto path = with_external("../secret.bin", "0", "1728");
  file("secret.bin", std::string(4000, 's'));
  EXPECT_THAT(refusal(path), AllOf(HasSubstr("first.weight"), HasSubstr("../secret.bin"), HasSubstr("inside")));
}

TEST_F(GraphFile, RefusesAnAbsolutePathToExternalData) {
  const auto secret = file("secret.bin", std::string(4000, 's'));
  EXPECT_THAT(refusal(with_external(secret.string(), "0", "1728")), HasSubstr("inside the model's folder"));
}

TEST_F(GraphFile, RefusesASymbolicLinkOutOfItsFolder) {
  const auto path = with_external("link.bin", "0", "1728");
  fs::create_symlink(file("secret.bin", std::string(4000, 's')), folder_ / "model" / "link.bin");
  EXPECT_THAT(refusal(path), HasSubstr("inside the model's folder"));
}

TEST_F(GraphFile, RefusesAFolderLinkOutOfItsFolder) {
  const auto path = with_external("sub/secret.bin", "0", "1728");
  fs::create_directory(folder_ / "other");
  file("other/secret.bin", std::string(4000, 's'));
  fs::create_directory_symlink(folder_ / "other", folder_ / "model" / "sub");
  EXPECT_THAT(refusal(path), HasSubstr("inside the model's folder"));
}

TEST_F(GraphFile, TakesExternalDataFromASubfolderByAnyNameForIt) {
  const auto path = with_external("sub/../sub/./w.bin", "0", "1728");
  fs::create_directory(folder_ / "model" / "sub");
  file("model/sub/w.bin", std::string(1728, 'w'));
  EXPECT_EQ(Graph::load(path).constants.at("first.weight").raw_data(), std::string(1728, 'w'));
}

TEST_F(GraphFile, RefusesExternalDataThatIsNotThere) {
  EXPECT_THAT(refusal(with_external("gone.bin")), AllOf(HasSubstr("gone.bin"), HasSubstr("copy the data file too")));
  EXPECT_THAT(refusal(with_external("", "0", "1728")), HasSubstr("''"));
  EXPECT_THAT(refusal(with_external(".", "0", "1728")), HasSubstr("first.weight"));
}

TEST_F(GraphFile, RefusesTruncatedExternalData) {
  const auto path = with_external("w.bin", "4096", "1728");
  file("model/w.bin", std::string(4096 + 1727, 'w'));
  EXPECT_THAT(refusal(path), AllOf(HasSubstr("1728 bytes at 4096"), HasSubstr("w.bin")));
  file("model/w.bin", std::string(100, 'w'));
  EXPECT_THAT(refusal(path), HasSubstr("1728 bytes at 4096"));
}

TEST_F(GraphFile, RefusesAnOffsetThatIsNoNumber) {
  for (const char* offset : {"-1", "4k", "0x10", "99999999999999999999", "1e3"}) {
    const auto path = with_external("w.bin", offset, "1728");
    file("model/w.bin", std::string(9000, 'w'));
    EXPECT_THAT(refusal(path), AllOf(HasSubstr("offset"), HasSubstr("expected a number"))) << offset;
  }
}

TEST_F(GraphFile, RefusesOffsetsWhoseSumOverflows) {
  const auto path = with_external("w.bin", "999999999999999999", "999999999999999999");
  file("model/w.bin", std::string(9000, 'w'));
  EXPECT_THAT(refusal(path), HasSubstr("not there"));
}

TEST_F(GraphFile, RefusesWhatIsNoModel) {
  EXPECT_THAT(refusal(file("text.onnx", "this is no protobuf")), HasSubstr("not an ONNX model"));
  EXPECT_THAT(refusal(file("empty.onnx", "")), HasSubstr("not an ONNX model"));
  two_convolutions().save(folder_ / "m.onnx");
  const auto bytes = bytes_of(folder_ / "m.onnx");
  EXPECT_THAT(refusal(file("half.onnx", std::string_view(bytes).substr(0, bytes.size() / 2))), HasSubstr("not an ONNX model"));
  error_of(ErrorCode::not_found, [&] { Graph::load(folder_ / "none.onnx"); });
}

TEST_F(GraphFile, RefusesConstantsThatAreNotOfTheirShape) {
  const auto refused = [&](const Shape& shape, std::size_t bytes, bool as_bytes = true) {
    auto graph = two_convolutions().graph();
    auto& tensor = graph.constants.at("first.weight");
    tensor.clear_dims();
    tensor.clear_raw_data();
    for (const auto axis : shape) tensor.add_dims(axis);
    if (as_bytes) tensor.set_raw_data(std::string(bytes, 'w'));
    graph.save(folder_ / "m.onnx");
    EXPECT_THAT(refusal(folder_ / "m.onnx"), AllOf(HasSubstr("first.weight"), HasSubstr("as many as its shape says")));
  };
  refused({2, 2}, 12);
  refused({2, 2}, 17);
  refused({-2, -2}, 16);
  refused({std::int64_t{1} << 62, 4}, 16);  // the product overflows to 0
  refused({std::int64_t{1} << 32, std::int64_t{1} << 32}, 0);
  refused({0, 4}, 16);
  refused({}, 0, false);
  refused({3}, 0, false);
}

TEST_F(GraphFile, RefusesTwoInputs) {
  auto net = two_convolutions();
  auto& other = *net.rest().mutable_graph()->add_input();
  other = net.rest().graph().input(0);
  other.set_name("y");
  EXPECT_THAT(refusal(net.save(folder_ / "m.onnx")), HasSubstr("2 inputs, expected 1"));
}

TEST_F(GraphFile, DoesNotCountConstantsAmongTheInputs) {
  auto net = two_convolutions();
  auto& listed = *net.rest().mutable_graph()->add_input();
  listed = net.rest().graph().input(0);
  listed.set_name("first.weight");  // as files before IR version 4 have it
  const auto graph = Graph::load(net.save(folder_ / "m.onnx"));
  EXPECT_EQ(graph.rest.graph().input_size(), 1);
  EXPECT_EQ(graph.input(), "x");
}

TEST(Graph, KnowsWhoMakesATensorAndWhoReadsIt) {
  Network net(kRow);
  net.silu("act", net.conv("c", "x", 3, 4));
  net.output("act", {4, 8, 8});
  const auto graph = net.graph();
  EXPECT_EQ(graph.producer("c"), 0U);
  EXPECT_EQ(graph.producer("x"), std::nullopt);
  EXPECT_EQ(graph.producer("c.weight"), std::nullopt);
  ASSERT_EQ(graph.uses("c").size(), 2U);
  EXPECT_EQ(graph.uses("c")[0].node, 1U);
  EXPECT_EQ(graph.uses("c")[1].node, 2U);
  EXPECT_EQ(graph.uses("act_sigmoid")[0].input, 1);
  EXPECT_THAT(graph.uses("act"), IsEmpty());
  EXPECT_TRUE(graph.is_output("act"));
  EXPECT_FALSE(graph.is_output("c"));
}

TEST(Graph, DropsWhatNoOutputNeeds) {
  auto net = two_convolutions();
  net.add("Relu", "dead_end", {net.conv("aside", "relu", 16, 4)});
  net.scalar("unread", 1);
  auto graph = net.graph();
  graph.remove_unused();
  const auto kept = two_convolutions().graph();
  ASSERT_EQ(graph.nodes.size(), 3U);
  EXPECT_EQ(graph.nodes[0].name(), "first");
  EXPECT_EQ(graph.nodes[2].name(), "second");
  EXPECT_EQ(graph.constants.size(), kept.constants.size());
  EXPECT_EQ(graph.producer("second"), 2U);
}

TEST(Graph, ReadsConstantsStoredAsBytesAndAsNumbers) {
  Graph graph;
  graph.set_floats("raw", {1, 2.5F}, {2});
  graph.set_int64("sizes", {3, -1}, {2});
  auto& listed = graph.constants["listed"];
  listed.set_data_type(onnx::TensorProto::FLOAT);
  listed.add_float_data(1);
  listed.add_float_data(2.5F);
  auto& whole = graph.constants["whole"];
  whole.set_data_type(onnx::TensorProto::INT64);
  whole.add_int64_data(7);
  EXPECT_THAT(graph.floats("raw"), ElementsAre(1, 2.5F));
  EXPECT_THAT(graph.floats("listed"), ElementsAre(1, 2.5F));
  EXPECT_THAT(graph.integers("sizes"), ElementsAre(3, -1));
  EXPECT_THAT(graph.integers("whole"), ElementsAre(7));
  EXPECT_THAT(graph.integers("raw"), IsEmpty());
  EXPECT_THAT(graph.shape_of("sizes"), ElementsAre(2));
  EXPECT_THAT(error_of(ErrorCode::unsupported, [&] { graph.floats("sizes"); }), HasSubstr("'sizes'"));
}

TEST(Graph, KnowsItsOpsetAndMetadata) {
  Graph graph;
  EXPECT_EQ(graph.opset(), 0);
  auto& microsoft = *graph.rest.add_opset_import();
  microsoft.set_domain("com.microsoft");
  microsoft.set_version(1);
  auto& standard = *graph.rest.add_opset_import();
  standard.set_domain("ai.onnx");
  standard.set_version(18);
  EXPECT_EQ(graph.opset(), 18);
  graph.set_metadata("a", "1");
  graph.set_metadata("b", "2");
  graph.set_metadata("a", "3");
  ASSERT_EQ(graph.rest.metadata_props_size(), 2);
  EXPECT_EQ(graph.rest.metadata_props(0).value(), "3");
}

TEST(Node, HasAttributesOrWhatIsMissing) {
  auto node = make_node("Conv", "c", {"x", "w"}, "y");
  EXPECT_EQ(integer_attribute(node, "group", 1), 1);
  set_attribute(node, "group", std::int64_t{4});
  set_attribute(node, "group", std::int64_t{8});
  set_attribute(node, "pads", std::vector<std::int64_t>{1, 2});
  EXPECT_EQ(node.attribute_size(), 2);
  EXPECT_EQ(integer_attribute(node, "group", 1), 8);
  EXPECT_THAT(integers_attribute(node, "pads"), ElementsAre(1, 2));
  EXPECT_THAT(integers_attribute(node, "strides"), IsEmpty());
}

}  // namespace
}  // namespace whimbrel::quantize
