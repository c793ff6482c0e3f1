#include "quantize/units.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace whimbrel::quantize {
namespace {

/// Per node: true where, once it has run, one tensor is all that later nodes still read.
std::vector<bool> cuts_after(const Graph& graph) {
  std::map<std::string, std::size_t> last_read;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    for (const auto& input : graph.nodes[n].input()) last_read[input] = n;
  }
  std::vector<bool> cuts(graph.nodes.size(), false);
  std::set<std::string> live = {graph.input()};
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    for (const auto& output : graph.nodes[n].output()) live.insert(output);
    std::erase_if(live, [&](const auto& tensor) { return !last_read.contains(tensor) || last_read.at(tensor) <= n; });
    cuts[n] = live.size() == 1;
  }
  return cuts;
}

std::int64_t macs_of(const std::vector<Unit>& units) {
  return std::accumulate(units.begin(), units.end(), std::int64_t{0}, [](auto sum, const auto& u) { return sum + u.macs; });
}

void append(Unit& unit, const Unit& other) {
  unit.products.insert(unit.products.end(), other.products.begin(), other.products.end());
  unit.macs += other.macs;
}

/// The smallest unit joins the smaller of its neighbours.
void join_smallest(std::vector<Unit>& units) {
  const auto less = [](const Unit& a, const Unit& b) { return a.macs < b.macs; };
  auto at = std::ranges::min_element(units, less);
  if (at + 1 == units.end() || (at != units.begin() && (at - 1)->macs < (at + 1)->macs)) --at;
  append(*at, *(at + 1));
  units.erase(at + 1);
}

/// Runs of products of about equal work, for a network in which everything hangs together.
std::vector<Unit> split_evenly(const std::vector<Unit>& products, std::size_t parts) {
  const double share = static_cast<double>(macs_of(products)) / static_cast<double>(parts);
  std::vector<Unit> units(1);
  for (const auto& product : products) {
    if (units.back().macs > 0 && static_cast<double>(2 * units.back().macs + product.macs) > 2 * share) units.emplace_back();
    append(units.back(), product);
  }
  return units;
}

void set_nodes(const Graph& graph, const Selection& selection, std::vector<Unit>& units) {
  auto product = selection.products.begin();
  for (std::size_t u = 0; u < units.size(); ++u) {
    units[u].begin = u == 0 ? 0 : product->node;
    if (u > 0) units[u - 1].end = units[u].begin;
    product += static_cast<std::ptrdiff_t>(units[u].products.size());
  }
  units.back().end = graph.nodes.size();
}

}  // namespace

std::vector<Unit> find_units(const Graph& graph, const Selection& selection, std::size_t most) {
  const auto cuts = cuts_after(graph);
  std::vector<Unit> units(1);
  std::vector<Unit> singles;
  auto product = selection.products.begin();
  for (std::size_t n = 0; n < graph.nodes.size() && product != selection.products.end(); ++n) {
    if (product->node == n) {
      singles.push_back({{product->name}, product->macs});
      append(units.back(), singles.back());
      ++product;
    }
    if (cuts[n] && !units.back().products.empty()) units.emplace_back();
  }
  if (units.back().products.empty()) units.pop_back();
  constexpr std::size_t kFewest = 4;
  if (units.size() < kFewest && singles.size() > units.size()) units = split_evenly(singles, std::min(most, singles.size()));
  while (units.size() > most) join_smallest(units);
  set_nodes(graph, selection, units);
  return units;
}

}  // namespace whimbrel::quantize
