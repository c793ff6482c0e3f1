// What the engines share: the checks of a model against what was asked for, and where engine libraries lie.
#pragma once

#include <exception>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "whimbrel/engines.h"

namespace whimbrel::engines {

/// Shape of the whole input: `declared` with its batch and its free axes fixed as `options` says.
///
/// @param declared  the model's own, -1 free; empty when its rank is unknown
/// @param where     opens error messages: "onnxruntime: b0.onnx"
/// @throws Error{bad_manifest} where the two contradict each other or an axis stays free, Error{invalid_argument} for sizes
/// below 1
Shape fixed_input_shape(const Shape& declared, const SessionOptions& options, const std::string& where);

/// @throws Error{bad_manifest} unless there is exactly one input and it is float32
void check_inputs(const std::vector<TensorInfo>& inputs, const std::string& where);

/// @throws Error{bad_manifest} unless the output is float32, its shape fixed and its first axis the batch (or any are welcome)
void check_output(const TensorInfo& output, const SessionOptions& options, const std::string& where);

/// Positions of the outputs asked for (all of them where none are named).
///
/// @param names  per output of the model, every name it answers to
/// @throws Error{bad_manifest} for a name that is not there; tells those that are
std::vector<std::size_t> pick_outputs(const std::vector<std::vector<std::string>>& names,
                                      const std::vector<std::string>& wanted, const std::string& where);

/// An engine's message as one line.
std::string one_line(std::string_view text);

/// "onnxruntime: b0.onnx"
std::string where_of(EngineKind kind, const std::filesystem::path& model);

/// Runs f; what else than Error it throws becomes Error{engine} with the engine's words. Engines report a lack of memory in an
/// exception type of their own or as std::bad_alloc.
template <typename F>
auto translated(const std::string& where, F&& f) {
  try {
    return f();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    throw Error(ErrorCode::engine, where + ": " + one_line(e.what()));
  }
}

EngineStatus onnxruntime_status();
std::unique_ptr<Session> open_onnxruntime(const std::filesystem::path& model, const SessionOptions& options);
std::vector<NodeTime> profile_with_onnxruntime(const std::filesystem::path& model, const SessionOptions& options,
                                               std::span<const float> input, int runs);
std::string onnxruntime_remark(const std::filesystem::path& model, const std::string& key);

EngineStatus openvino_status();
std::unique_ptr<Session> open_openvino(const std::filesystem::path& model, const SessionOptions& options);
std::vector<NodeTime> profile_with_openvino(const std::filesystem::path& model, const SessionOptions& options,
                                            std::span<const float> input, int runs);
std::string openvino_remark(const std::filesystem::path& model, const std::string& key);
ModelInfo inspect_with_openvino(const std::filesystem::path& model, const Shape& row_shape);

EngineStatus torchscript_status();
std::unique_ptr<Session> open_torchscript(const std::filesystem::path& model, const SessionOptions& options);
ModelInfo inspect_with_torchscript(const std::filesystem::path& model, const Shape& row_shape);

}  // namespace whimbrel::engines
