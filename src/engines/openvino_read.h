// Inside the OpenVINO module: reading models, and OpenVINO's words in ours.
#pragma once

#include <filesystem>
#include <string>

#include <openvino/openvino.hpp>

#include "engines/common.h"

namespace whimbrel::engines {

/// The process's only Core; it caches plugins and front ends. Never destroyed, since its threads may outlive our statics.
ov::Core& core();

/// Marks constants that conversion made: they are in no file and were not trained.
inline constexpr auto kMadeByUs = "whimbrel_constant";

/// Reads .onnx, .xml and .tflite. @throws ov::Exception
std::shared_ptr<ov::Model> read_model(const std::filesystem::path& path);

/// A static shape, or one with -1 for free axes; empty where the rank is unknown.
Shape to_shape(const ov::PartialShape& shape);
TensorInfo tensor_info(const ov::Output<const ov::Node>& port);
/// Every name that the output answers to, sorted; at least one.
std::vector<std::string> port_names(const ov::Output<const ov::Node>& port);

ModelInfo inspect(const std::filesystem::path& path, const Shape& row_shape);
std::unique_ptr<Session> open(const std::filesystem::path& path, const SessionOptions& options);

}  // namespace whimbrel::engines
