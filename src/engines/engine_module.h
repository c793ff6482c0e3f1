// What an engine in a module of its own offers the program: one C entry point that gives one object; and how it is loaded.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "whimbrel/engines.h"

namespace whimbrel::engines {

class EngineModule {
 public:
  virtual ~EngineModule() = default;
  virtual std::string version() = 0;
  virtual std::unique_ptr<Session> open(const std::filesystem::path& model, const SessionOptions& options) = 0;
  virtual ModelInfo inspect(const std::filesystem::path& model, const Shape& row_shape) = 0;
};

/// Both sides hand C++ objects to each other, so they must come from one build: a module of another version gives nullptr.
using EngineModuleEntry = EngineModule* (*)(const char* program_version);
inline constexpr auto kEngineModuleEntry = "whimbrel_engine_module";

/// A module as it was found, or why it was not.
struct LoadedModule {
  EngineStatus status;
  EngineModule* module = nullptr;

  /// @throws Error{unsupported} with the remedy
  EngineModule& require(const std::filesystem::path& model) const;
};

/// Opens whimbrel-<kind>.so from WHIMBREL_ENGINE_PATH, else beside this code, else from the build.
/// @param name     of the library that the module is linked against: "OpenVINO"
/// @param install  how to get that library: "pip install openvino==2026.4.1"
LoadedModule load_module(EngineKind kind, std::string_view name, std::string_view install);

}  // namespace whimbrel::engines
