// Step 2: what may be quantized, found by structure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "quantize/graph.h"

namespace whimbrel::quantize {

/// A convolution or matrix product with trained weights.
struct Product {
  std::size_t node = 0;
  std::string name;
  std::int64_t macs = 0;  // of one row
};

/// A product that stays in float.
struct KeptProduct {
  std::string why;
  std::int64_t macs = 0;
};

struct Selection {
  std::vector<Product> products;            // that may become integer, in order of execution
  std::map<std::string, KeptProduct> kept;  // every other product by its name
};

/// @param keep  node names and operator types that the user wants in float
/// @throws Error{invalid_argument} when a name in `keep` is neither a node nor an operator of the graph (names the closest),
/// Error{unsupported} when nothing is left to quantize
Selection select_products(const Graph& graph, const std::vector<std::string>& keep, const std::string& where);

/// Names of the nodes of a front end inside the graph: everything up to the last spectral operator (square, power, root,
/// absolute value, logarithm, DFT) that the input reaches without passing a trained non-linearity, and what scales its result.
/// Empty when the graph begins with the network.
///
/// A spectrum needs range more than precision, and 8 bits have none: BirdNET with its front end quantized agrees with itself in
/// 5 % of the windows.
std::set<std::string> front_end_nodes(const Graph& graph);

}  // namespace whimbrel::quantize
