// Step 1: a graph that quantization can work on.
#pragma once

#include <filesystem>

#include "quantize/graph.h"

namespace whimbrel::quantize {

/// Loads a model with its input fixed to `row_shape` (the batch stays free), constants and batch norms folded by ONNX Runtime,
/// every node named, and three rewrites that change nothing but the cost:
/// - ReduceMean over the two last of four axes becomes GlobalAveragePool, which has an integer kernel;
/// - Expand whose result only meets elementwise operators, which broadcast by themselves, goes;
/// - Mul by a scalar is folded into the weights of the convolution before or behind it where that is its only neighbour.
///
/// @throws Error{unsupported} for opsets before 13 (no per-channel DequantizeLinear), control flow, models that are quantized
/// already; Error{bad_manifest} where the input does not fit `row_shape`; what Graph::load() and fold_model() throw
Graph prepare(const std::filesystem::path& model, const Shape& row_shape, const std::filesystem::path& work_folder);

/// The shape of a tensor as a run showed it, -1 for the batch; of a constant, its own; empty where it is not known.
Shape shape_of_row(const Graph& graph, const std::string& tensor);

}  // namespace whimbrel::quantize
