#include "whimbrel/engines.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "engines/common.h"

namespace whimbrel {
namespace {

void check_file(const std::filesystem::path& model, const std::string& where) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(model, ignored)) {
    throw Error(ErrorCode::not_found, fmt::format("{}: no such file; correct the path, or `file` in the manifest", where));
  }
  check_model_files(model);
}

/// Endings of the model files that an engine reads.
const std::vector<std::string>& endings(EngineKind kind) {
  static const std::vector<std::string> onnxruntime{".onnx"}, openvino{".onnx", ".xml", ".tflite"}, torchscript{".pt"};
  if (kind == EngineKind::openvino) return openvino;
  return kind == EngineKind::onnxruntime ? onnxruntime : torchscript;
}

void check_readable(EngineKind kind, const std::filesystem::path& model) {
  const std::string where = engines::where_of(kind, model);
  check_file(model, where);
  if (engine_reads(kind, model)) return;
  throw Error(ErrorCode::unsupported, fmt::format("{}: this engine reads {}; use another engine, or export to ONNX", where,
                                                  fmt::join(endings(kind), ", ")));
}

}  // namespace

EngineStatus engine_status(EngineKind kind) {
  switch (kind) {
    case EngineKind::onnxruntime:
      return engines::onnxruntime_status();
    case EngineKind::openvino:
      return engines::openvino_status();
    case EngineKind::torchscript:
      return engines::torchscript_status();
  }
  throw Error(ErrorCode::internal, "engine_status: no such engine");
}

bool engine_reads(EngineKind kind, const std::filesystem::path& model) {
  return std::ranges::find(endings(kind), model.extension().string()) != endings(kind).end();
}

std::unique_ptr<Session> open_session(EngineKind kind, const std::filesystem::path& model, const SessionOptions& options) {
  check_readable(kind, model);
  return engines::translated(engines::where_of(kind, model), [&] {
    if (kind == EngineKind::onnxruntime) return engines::open_onnxruntime(model, options);
    if (kind == EngineKind::openvino) return engines::open_openvino(model, options);
    return engines::open_torchscript(model, options);
  });
}

std::vector<NodeTime> profile_model(EngineKind kind, const std::filesystem::path& model, const SessionOptions& options,
                                    std::span<const float> input, int runs) {
  check_readable(kind, model);
  if (kind == EngineKind::onnxruntime) return engines::profile_with_onnxruntime(model, options, input, runs);
  if (kind == EngineKind::openvino) return engines::profile_with_openvino(model, options, input, runs);
  throw Error(ErrorCode::unsupported, engines::where_of(kind, model) + ": this engine has no profile");
}

std::string model_remark(EngineKind kind, const std::filesystem::path& model, const std::string& key) {
  check_readable(kind, model);
  if (kind == EngineKind::onnxruntime) return engines::onnxruntime_remark(model, key);
  return kind == EngineKind::openvino ? engines::openvino_remark(model, key) : "";
}

ModelInfo inspect_model(const std::filesystem::path& model, const Shape& row_shape) {
  check_file(model, "inspect: " + model.string());
  if (engine_reads(EngineKind::torchscript, model)) return engines::inspect_with_torchscript(model, row_shape);
  if (!engine_reads(EngineKind::openvino, model)) {
    throw Error(ErrorCode::unsupported, fmt::format("inspect: {}: ending '{}', expected .onnx, .xml, .tflite or .pt",
                                                    model.string(), model.extension().string()));
  }
  return engines::inspect_with_openvino(model, row_shape);
}

}  // namespace whimbrel
