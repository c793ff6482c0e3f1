#include "whimbrel/engines.h"

#include <fmt/format.h>

#include "engines/common.h"

namespace whimbrel {
namespace {

void check_file(const std::filesystem::path& model, const std::string& where) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(model, ignored)) {
    throw Error(ErrorCode::not_found, fmt::format("{}: no such file; correct the path, or `file` in the manifest", where));
  }
}

void check_readable(EngineKind kind, const std::filesystem::path& model) {
  const std::string where = engines::where_of(kind, model);
  check_file(model, where);
  if (!engine_reads(kind, model)) {
    throw Error(ErrorCode::unsupported, fmt::format("{}: this engine reads {}; use the other engine, or export to ONNX", where,
                                                    kind == EngineKind::onnxruntime ? ".onnx" : ".onnx, .xml and .tflite"));
  }
}

}  // namespace

EngineStatus engine_status(EngineKind kind) {
  return kind == EngineKind::onnxruntime ? engines::onnxruntime_status() : engines::openvino_status();
}

bool engine_reads(EngineKind kind, const std::filesystem::path& model) {
  const auto ending = model.extension();
  if (ending == ".onnx") return true;
  return kind == EngineKind::openvino && (ending == ".xml" || ending == ".tflite");
}

std::unique_ptr<Session> open_session(EngineKind kind, const std::filesystem::path& model, const SessionOptions& options) {
  check_readable(kind, model);
  return kind == EngineKind::onnxruntime ? engines::open_onnxruntime(model, options) : engines::open_openvino(model, options);
}

std::vector<NodeTime> profile_model(EngineKind kind, const std::filesystem::path& model, const SessionOptions& options,
                                    std::span<const float> input, int runs) {
  check_readable(kind, model);
  return kind == EngineKind::onnxruntime ? engines::profile_with_onnxruntime(model, options, input, runs)
                                         : engines::profile_with_openvino(model, options, input, runs);
}

std::string model_remark(EngineKind kind, const std::filesystem::path& model, const std::string& key) {
  check_readable(kind, model);
  return kind == EngineKind::onnxruntime ? engines::onnxruntime_remark(model, key) : engines::openvino_remark(model, key);
}

ModelInfo inspect_model(const std::filesystem::path& model, const Shape& row_shape) {
  check_file(model, "inspect: " + model.string());
  if (!engine_reads(EngineKind::openvino, model)) {
    throw Error(ErrorCode::unsupported, fmt::format("inspect: {}: ending '{}', expected .onnx, .xml or .tflite", model.string(),
                                                    model.extension().string()));
  }
  return engines::inspect_with_openvino(model, row_shape);
}

}  // namespace whimbrel
