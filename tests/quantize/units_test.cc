#include "quantize/units.h"

#include <gmock/gmock.h>

#include <numeric>

#include "quantize/networks.h"

namespace whimbrel::quantize {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

/// All convolutions of a graph, with work as given or 1 each.
Selection all_convolutions(const Graph& graph, const std::vector<std::int64_t>& macs = {}) {
  Selection selection;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    if (graph.nodes[n].op_type() != "Conv") continue;
    const std::size_t i = selection.products.size();
    selection.products.push_back({n, graph.nodes[n].name(), i < macs.size() ? macs[i] : 1});
  }
  return selection;
}

/// `blocks` residual blocks of two convolutions behind a stem.
Graph residual_network(int blocks) {
  Network net({4, 8, 8});
  std::string at = net.add("Relu", "stem_relu", {net.conv("stem", "x", 4, 4)});
  for (int b = 0; b < blocks; ++b) {
    const std::string block = "block" + std::to_string(b);
    net.add("Relu", block + "_relu", {net.conv(block + "_a", at, 4, 4)});
    net.add("Add", block + "_sum", {net.conv(block + "_b", block + "_relu", 4, 4), at});
    at = net.add("Relu", block + "_out", {block + "_sum"});
  }
  net.output(at, {4, 8, 8});
  return net.graph();
}

Graph chain(int convolutions) {
  Network net({4, 8, 8});
  std::string at = "x";
  for (int i = 0; i < convolutions; ++i) at = net.conv("c" + std::to_string(i), at, 4, 4);
  net.output(at, {4, 8, 8});
  return net.graph();
}

std::vector<std::vector<std::string>> names_of(const std::vector<Unit>& units) {
  std::vector<std::vector<std::string>> names;
  for (const auto& unit : units) names.push_back(unit.products);
  return names;
}

std::vector<std::int64_t> macs_of(const std::vector<Unit>& units) {
  std::vector<std::int64_t> macs;
  for (const auto& unit : units) macs.push_back(unit.macs);
  return macs;
}

TEST(Units, AreTheBlocksOfAResidualNetwork) {
  const auto graph = residual_network(3);
  EXPECT_THAT(names_of(find_units(graph, all_convolutions(graph), 20)),
              ElementsAre(ElementsAre("stem"), ElementsAre("block0_a", "block0_b"), ElementsAre("block1_a", "block1_b"),
                          ElementsAre("block2_a", "block2_b")));
}

TEST(Units, AreTheLayersOfAPlainNetwork) {
  const auto graph = chain(5);
  EXPECT_THAT(names_of(find_units(graph, all_convolutions(graph), 20)),
              ElementsAre(ElementsAre("c0"), ElementsAre("c1"), ElementsAre("c2"), ElementsAre("c3"), ElementsAre("c4")));
}

TEST(Units, LeaveOutWhatIsNotSelected) {
  const auto graph = chain(6);
  auto selection = all_convolutions(graph);
  selection.products.erase(selection.products.begin() + 1);
  EXPECT_THAT(names_of(find_units(graph, selection, 20)),
              ElementsAre(ElementsAre("c0"), ElementsAre("c2"), ElementsAre("c3"), ElementsAre("c4"), ElementsAre("c5")));
}

TEST(Units, JoinTheSmallestWithItsSmallerNeighbour) {
  const auto graph = chain(6);
  const auto units = [&](std::size_t most) {
    return macs_of(find_units(graph, all_convolutions(graph, {50, 20, 1, 30, 40, 2}), most));
  };
  EXPECT_THAT(units(6), ElementsAre(50, 20, 1, 30, 40, 2));
  EXPECT_THAT(units(5), ElementsAre(50, 21, 30, 40, 2));  // 1 and 20, not 30
  EXPECT_THAT(units(4), ElementsAre(50, 21, 30, 42));     // the last one has one neighbour
  EXPECT_THAT(units(3), ElementsAre(50, 51, 42));
  EXPECT_THAT(units(2), ElementsAre(50, 93));  // 42 and 51: its only neighbour
  EXPECT_THAT(units(1), ElementsAre(143));
}

TEST(Units, HoldEveryProductOnceInOrderForAnyNumber) {
  const auto graph = residual_network(9);
  std::vector<std::int64_t> macs(19);
  for (std::size_t i = 0; i < macs.size(); ++i) macs[i] = static_cast<std::int64_t>(7 * i % 11 + 1);
  const auto selection = all_convolutions(graph, macs);
  for (std::size_t most = 1; most <= 20; ++most) {
    const auto units = find_units(graph, selection, most);
    EXPECT_LE(units.size(), most);
    std::size_t at = 0;
    for (const auto& unit : units) {
      EXPECT_FALSE(unit.products.empty());
      std::int64_t sum = 0;
      for (const auto& name : unit.products) {
        ASSERT_LT(at, selection.products.size());
        EXPECT_EQ(name, selection.products[at].name);
        sum += selection.products[at++].macs;
      }
      EXPECT_EQ(unit.macs, sum);
    }
    EXPECT_EQ(at, selection.products.size());
  }
}

TEST(Units, OfANetworkWithoutCutsHaveAboutEqualWork) {
  // Every layer reads the input too, so that nothing but the end is carried by one tensor.
  Network net({4, 8, 8});
  std::string at = "x";
  for (int i = 0; i < 12; ++i) {
    const auto name = "c" + std::to_string(i);
    at = net.add("Add", name + "_sum", {net.conv(name, at, 4, 4), "x"});
  }
  net.output(at, {4, 8, 8});
  const auto graph = net.graph();
  const auto units = find_units(graph, all_convolutions(graph, std::vector<std::int64_t>(12, 10)), 4);
  EXPECT_THAT(macs_of(units), ElementsAre(30, 30, 30, 30));
  EXPECT_THAT(find_units(graph, all_convolutions(graph, std::vector<std::int64_t>(12, 10)), 20), SizeIs(12));
}

TEST(Units, OfOneProductAreOne) {
  const auto graph = chain(1);
  EXPECT_THAT(names_of(find_units(graph, all_convolutions(graph), 20)), ElementsAre(ElementsAre("c0")));
}

}  // namespace
}  // namespace whimbrel::quantize
