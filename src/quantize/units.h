// Where a network can be cut, so that what returns to float returns in whole pieces.
#pragma once

#include <string>
#include <vector>

#include "quantize/graph.h"
#include "quantize/select.h"

namespace whimbrel::quantize {

/// Products between two cuts of the network, in order of execution.
struct Unit {
  std::vector<std::string> products;
  std::int64_t macs = 0;
  /// Nodes from its first product (of the first unit: from the start) to the next unit's: every node belongs to one unit.
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// Cuts lie where a single tensor carries everything on: between the blocks of a residual network, between the layers of a
/// plain one. A change from integers to float there costs one conversion. More than `most` units are joined with their smaller
/// neighbour until that many are left; a network without cuts is split by its multiply-accumulates.
std::vector<Unit> find_units(const Graph& graph, const Selection& selection, std::size_t most);

}  // namespace whimbrel::quantize
