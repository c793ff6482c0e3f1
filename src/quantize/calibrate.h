// Step 3: what values the tensors of a network take over real windows, in memory that does not grow with their number.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "quantize/graph.h"
#include "quantize/observer.h"
#include "quantize/rows.h"

namespace whimbrel::quantize {

struct TensorStatistics {
  Histogram histogram;
  /// Along the channel axis (1 of images and their kin, the last one of what a MatMul reads); empty for other shapes.
  std::vector<double> channel_mean;
  std::vector<float> channel_max;  // largest magnitude
};

using Statistics = std::map<std::string, TensorStatistics>;

/// Runs `graph` in float over all rows and watches `tensors` (which may include the graph's input).
/// @param last_axis  those of them whose channels are the last axis
/// @throws Error{bad_manifest} when a tensor is not finite on a window (names both)
Statistics calibrate(const Graph& graph, const std::set<std::string>& tensors, const std::set<std::string>& last_axis,
                     const WindowRows& rows, const Shape& row_shape, int workers, const std::filesystem::path& work_folder);

}  // namespace whimbrel::quantize
