// The models and answers that tests/data/make_models.py wrote for this build.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "whimbrel/engines.h"

namespace whimbrel {

inline std::filesystem::path test_file(const std::string& name) { return std::filesystem::path(WHIMBREL_TEST_DATA_DIR) / name; }

inline std::vector<float> read_values(const std::string& name) {
  std::vector<float> values(std::filesystem::file_size(test_file(name)) / sizeof(float));
  std::ifstream file(test_file(name), std::ios::binary);
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
  return values;
}

#define WHIMBREL_NEED_FILE(name)                 \
  if (!std::filesystem::exists(test_file(name))) \
  GTEST_SKIP() << name << " is not there: tests/data/make_models.py needs Python's onnx (and torch for .pt)"

/// The test network "sed.onnx" in the format that the engine reads: "sed.pt" for TorchScript.
inline std::string in_format_of(EngineKind kind, const std::string& onnx) {
  return kind == EngineKind::torchscript ? std::filesystem::path(onnx).replace_extension(".pt").string() : onnx;
}

/// The code and message of what `statement` throws; fails the test when it throws nothing.
template <typename F>
Error error_of(F&& statement) {
  try {
    statement();
  } catch (const Error& e) {
    return e;
  }
  ADD_FAILURE() << "nothing was thrown";
  return {ErrorCode::internal, ""};
}

inline void write_input(Runner& runner, const std::vector<float>& values) {
  ASSERT_EQ(runner.input().size(), values.size());
  std::copy(values.begin(), values.end(), runner.input().begin());
}

inline std::vector<float> copy_of(std::span<const float> values) { return {values.begin(), values.end()}; }

}  // namespace whimbrel
