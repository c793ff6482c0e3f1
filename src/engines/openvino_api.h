// What the OpenVINO module offers the program: one C entry point that gives one object.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "whimbrel/engines.h"

namespace whimbrel::engines {

class OpenVino {
 public:
  virtual ~OpenVino() = default;
  virtual std::string version() = 0;
  virtual std::unique_ptr<Session> open(const std::filesystem::path& model, const SessionOptions& options) = 0;
  virtual std::vector<NodeTime> profile(const std::filesystem::path& model, const SessionOptions& options,
                                        std::span<const float> input, int runs) = 0;
  virtual std::string remark(const std::filesystem::path& model, const std::string& key) = 0;
  virtual ModelInfo inspect(const std::filesystem::path& model, const Shape& row_shape) = 0;
};

/// Both sides hand C++ objects to each other, so they must come from one build: a module of another version gives nullptr.
using OpenVinoEntry = OpenVino* (*)(const char* program_version);
inline constexpr auto kOpenVinoEntry = "whimbrel_openvino";

}  // namespace whimbrel::engines
