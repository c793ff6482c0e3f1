// Engines: ONNX Runtime, OpenVINO and TorchScript behind one contract. No vendor type leaves src/engines.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "whimbrel/core.h"

namespace whimbrel {

enum class EngineKind { onnxruntime, openvino, torchscript };

std::string_view to_string(EngineKind kind);
/// nullopt for a word that names no engine.
std::optional<EngineKind> engine_from_string(std::string_view word);
const std::vector<EngineKind>& all_engines();

struct EngineStatus {
  EngineKind kind;
  bool available = false;
  std::string version;  // "1.32.0"
  std::string remedy;   // where not available: what was looked for, where, and how to get it
};

/// Loads the engine's library on first use. Never throws.
EngineStatus engine_status(EngineKind kind);

/// True if the engine reads files of this ending: .onnx ONNX Runtime and OpenVINO; .xml and .tflite OpenVINO; .pt TorchScript.
bool engine_reads(EngineKind kind, const std::filesystem::path& model);

struct TensorInfo {
  std::string name;
  Shape shape;               // -1: free axis
  std::string element_type;  // "float32"
};

struct SessionOptions {
  std::int64_t batch = 1;  // the first axis of every input and output becomes this
  int workers = 1;         // most runners that run at the same time
  /// Shape of one input row, without the batch; fixes free axes of the model's input. Empty: the model's own.
  Shape row_shape;
  /// Which outputs are wanted, in this order; empty: all, in the model's order.
  std::vector<std::string> outputs;
  /// Also outputs that are not one row per window, or not float32 (tensors inside a network). Only to learn shapes, unless all
  /// are float32.
  bool any_outputs = false;
};

/// One place to run a session from: its own input and output memory, at the session's fixed shape. Used by one thread at a
/// time.
class Runner {
 public:
  virtual ~Runner() = default;
  /// [batch, row...] row-major; write it, then run(). Keeps its contents over run().
  virtual std::span<float> input() = 0;
  /// @throws Error{engine}
  virtual void run() = 0;
  /// [batch, ...] of wanted output i; valid until the next run().
  virtual std::span<const float> output(std::size_t i) const = 0;
};

/// A model loaded by an engine at one fixed input shape: one intra-op thread per runner, no spinning, no pinning.
/// make_runner() may be called from several threads, and runners of one session may run at the same time; they may outlive it.
/// Neither may be destroyed after main() returns (not in a static object): OpenVINO's own statics would be gone.
class Session {
 public:
  virtual ~Session() = default;
  /// Outputs as asked for, with the batch fixed. Shapes are fixed when every axis could be inferred.
  virtual const TensorInfo& input() const = 0;
  virtual const std::vector<TensorInfo>& outputs() const = 0;
  virtual std::unique_ptr<Runner> make_runner() = 0;
};

/// @throws Error{unsupported} when the engine is not installed or does not read this file, Error{not_found},
/// Error{bad_manifest} when an output or shape asked for does not exist (names what does) or the model's tensors are not one
/// float32 input and float32 outputs of one row per window, Error{invalid_argument} for sizes below 1, Error{engine} with the
/// engine's own words
std::unique_ptr<Session> open_session(EngineKind kind, const std::filesystem::path& model, const SessionOptions& options);

/// The deterministic input that manifests' probes are recorded on: n values in [0, 1).
/// x[i] = (h >> 8) / 2^24 with h = lowbias32(i) (Wellons' integer hash, 2018: xor-shift 16, * 0x7feb352d, 15, * 0x846ca68b,
/// 16).
std::vector<float> probe_input(std::int64_t n);

struct SessionCheck {
  /// Each row gave the same bits in another place of the batch and beside other rows: batches may mix recordings freely.
  bool rows_independent = false;
  /// Largest difference to the expected output; 0 without one.
  double probe_difference = 0;
};

/// Runs the session's real shape on known input before any recording is seen (this also warms it up).
/// @param expected   [outputs()[0] row] of probe_input as one row, or empty
/// Three runs. `what` opens the error messages: engine and model.
/// @throws Error{bad_manifest} naming engine and model: the output is not finite, or misses `expected` by more than
/// `tolerance`, or `expected` is not as long as a row
SessionCheck check_session(Session& session, std::span<const float> expected, double tolerance, std::string_view what);

/// A node as an engine ran it: several nodes of the file may have become one, under the name of the first convolution or
/// product among them.
struct NodeTime {
  std::string name;
  std::string kernel;    // "QLinearConv", "brgconv_avx512_I8"
  bool integer = false;  // computed with 8-bit integers
  double ms = 0;         // mean of the runs
};

/// Runs a model on one thread with the engine's own profiler on.
/// @param input  the session's whole input
/// @throws as open_session()
std::vector<NodeTime> profile_model(EngineKind kind, const std::filesystem::path& model, const SessionOptions& options,
                                    std::span<const float> input, int runs);

/// Writes an ONNX model with its constants folded and its batch norms merged into convolutions, as ONNX Runtime's basic level
/// does it: standard operators only, the batch left free. Constants go to `<folded>.data` where they are more than protobuf
/// can hold.
/// @throws Error{unsupported} without ONNX Runtime, Error{engine} when it cannot read the model
void fold_model(const std::filesystem::path& model, const std::filesystem::path& folded);

/// A model file's own remark under `key` (ONNX metadata, OpenVINO's rt_info); "" without one.
/// @throws as open_session()
std::string model_remark(EngineKind kind, const std::filesystem::path& model, const std::string& key);

/// What a model file holds. Only TorchScript is run for it, since its files do not say what comes out.
struct ModelInfo {
  std::vector<TensorInfo> inputs;
  std::vector<TensorInfo> outputs;
  std::int64_t parameters = 0;  // trained values
  std::int64_t macs = 0;        // multiply-accumulates of one input row; 0: unknown (shapes stay free, or TorchScript)
  std::int64_t file_bytes = 0;  // all files of the model (.xml + .bin, .onnx + .onnx.data)
  std::string format;           // "onnx", "openvino", "tflite", "torchscript"
};

/// What an engine would read besides the file itself must lie in its folder, symbolic links resolved: external data of ONNX,
/// the .bin of an IR. All that opens a model does this first.
/// @throws Error{bad_manifest} where it does not, or where external data goes beyond its file's end
void check_model_files(const std::filesystem::path& model);

/// @param row_shape  shape of one input row, for models with free axes; may be empty
/// @throws Error{unsupported} without OpenVINO (which reads all formats but .pt) or libtorch, Error{not_found}, Error{engine},
/// Error{bad_manifest} for a .pt whose input is not of that shape
ModelInfo inspect_model(const std::filesystem::path& model, const Shape& row_shape);

struct ConvertOptions {
  std::int64_t batch = 0;  // 0: free, or the model's own where that is fixed
  bool fp16 = false;       // weights in 16 bits: half the file; computed in float32 all the same
  bool replace = false;    // an output that is there already
  Shape row_shape;         // of one input row; fixes free axes. Empty: the model's own
  /// Which outputs are compared with the source's; empty: all that are float32.
  std::vector<std::string> outputs;
  /// Expected first row of the first of them on probe_input, or empty: what check_session() will ask for at every run.
  std::vector<float> probe;
  double probe_tolerance = 1e-3;
};

struct ConvertResult {
  std::filesystem::path xml;
  std::filesystem::path bin;
  std::int64_t file_bytes = 0;  // both
  std::int64_t batch = 0;       // 0: free
  bool quantized = false;
  EngineKind compared_with = EngineKind::openvino;  // which ran the source; quantized models: OpenVINO
  std::size_t outputs = 0;                          // compared
  double largest_difference = 0;                    // absolute, on probe_input, over all outputs compared
  double largest_value = 0;                         // of the source's outputs
};

/// Writes a model (.onnx, .tflite, .xml) as OpenVINO IR, `xml` and the .bin beside it, after the written files have answered
/// probe_input as the source does: within 1e-3 of an output's largest value, 2e-2 with FP16 weights. All or nothing.
/// @throws Error{not_found}, Error{unsupported} without OpenVINO or for another ending, Error{invalid_argument} for a bad
/// output or batch, or an output that is there, Error{bad_manifest} where shapes contradict each other or the probe is missed,
/// Error{engine} with OpenVINO's words or for a difference beyond the tolerance, Error{io}
ConvertResult convert_model(const std::filesystem::path& model, const std::filesystem::path& xml,
                            const ConvertOptions& options);

}  // namespace whimbrel
