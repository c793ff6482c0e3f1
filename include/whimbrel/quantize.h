// Quantize: FP32 ONNX -> INT8 (QDQ) by post-training quantization, with a certificate of what it costs and what it gains.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "whimbrel/core.h"
#include "whimbrel/engines.h"
#include "whimbrel/score.h"

namespace whimbrel {

/// How the range of a tensor is chosen from the values that calibration saw.
enum class Observer { minmax, percentile, entropy, mse };
std::string_view to_string(Observer observer);

/// Which integer instructions the weights must be safe on.
enum class QuantizeIsa {
  native,  // of this CPU
  avx2,    // vpmaddubsw adds two products in 16 bits: weights are narrowed where two of them could overflow
  vnni,    // 32-bit sums: weights use all of -127..127
};
std::string_view to_string(QuantizeIsa isa);

/// Windows as the network is fed them.
struct WindowRows {
  std::int64_t count = 0;
  /// Writes one whole input row. Called from several threads.
  std::function<void(std::int64_t row, std::span<float> input)> read;
};

struct QuantizeOptions {
  std::filesystem::path model;      // .onnx, float32
  std::filesystem::path output;     // .onnx; its folder must exist
  std::vector<EngineKind> targets;  // placements to try: onnxruntime, openvino; the better one is kept
  QuantizeIsa isa = QuantizeIsa::native;
  std::optional<Observer> observer;  // absent: the one with the least error on the calibration windows
  std::vector<std::string> keep;     // node names and operator types that stay in float
  /// Most that may be lost: macro ROC-AUC where there is truth, else the share of windows whose top class changes, of those in
  /// which the float model is above `threshold`.
  double max_drop = 0.01;
  double threshold = 0.5;  // of a detection, after the activation
  int workers = 1;
  Shape row_shape;                                     // of one window, without the batch
  std::vector<std::string> outputs;                    // the clip-wise one first; empty: all, in the model's order
  std::function<void(std::span<float> row)> activate;  // logits of one row -> probabilities, in place; absent: none
  WindowRows calibration;
  WindowRows certification;
  std::vector<std::string> classes;                 // with truth: names
  std::vector<std::uint8_t> truth;                  // [certification.count, classes] 0 or 1; empty: none
  std::function<void(const std::string&)> on_step;  // one line for each step
  const std::atomic<bool>* cancel = nullptr;        // set it to true for an early end: Error{cancelled}, nothing written
};

/// Times of the same windows by two sessions in turn, so that a drift of the machine meets both alike.
struct PairedSpeed {
  double base_ms = 0;  // median of one window on one thread
  double other_ms = 0;
  double ratio = 0;      // base / other, median of the pairs
  double ratio_low = 0;  // 95 % confidence interval of that median
  double ratio_high = 0;
  double base_per_s = 0;  // windows a second of all workers
  double other_per_s = 0;
  double throughput_ratio = 0;
};

/// A convolution or matrix product, and what became of it.
struct ProductReport {
  std::string name;
  std::string type;
  std::int64_t macs = 0;
  bool integer = false;  // as the engine's own profile says
  std::string kernel;    // that the engine ran it with
  double fp32_ms = 0;    // by the same engine's profile of the float model; 0 where it was fused into another node
  double int8_ms = 0;
  std::string why_float;  // empty when integer
};

/// What quantization of a model is worth on this CPU.
struct Certificate {
  std::string verdict;  // in words
  bool keep_fp32 = false;
  EngineKind engine = EngineKind::onnxruntime;       // that the file is for
  EngineKind fp32_engine = EngineKind::onnxruntime;  // the fastest for the float model
  QuantizeIsa isa = QuantizeIsa::native;
  Observer observer = Observer::mse;
  std::map<std::string, int> unit_observers;  // another observer -> number of blocks that it serves better
  std::string cpu;
  std::string integer_path;
  std::int64_t calibration_windows = 0;
  std::int64_t certification_windows = 0;
  Agreement agreement;
  std::vector<std::pair<std::string, double>> sqnr_db;  // per output
  std::optional<double> auc_fp32;
  std::optional<double> auc_int8;
  double max_drop = 0;
  double drop = 0;                // of what max_drop limits
  PairedSpeed speed;              // against the fastest float engine
  double integer_macs_share = 0;  // of all products' multiply-accumulates
  std::int64_t narrowed_channels = 0;
  std::vector<ProductReport> products;
  std::vector<float> probe_output;  // of the INT8 model for probe_input(), first output
  double probe_tolerance = 0;
  std::map<std::string, double> step_s;
};

/// Key of the certificate's summary in a model's metadata.
inline constexpr auto kCertificateKey = "whimbrel.int8";

/// Quantizes, certifies and writes `options.output` (with the verdict in its metadata), also when the verdict is to keep FP32:
/// the file loads, runs and was compared.
/// @throws Error{unsupported} for models that cannot be quantized (says why), Error{invalid_argument} for too few windows or
/// such that are all the same, Error{bad_manifest} for a model that does not fit, Error{engine}
Certificate quantize_model(const QuantizeOptions& options);

/// The whole certificate as JSON text.
std::string certificate_json(const Certificate& certificate);

/// What predict needs of a certificate, as it stands in a model's metadata.
struct Verdict {
  bool keep_fp32 = false;
  EngineKind engine = EngineKind::onnxruntime;
  std::string cpu;
  std::string integer_path;
  std::string source;       // file name of the float model
  std::string source_hash;  // XXH3-128
  std::string words;
};
std::string verdict_json(const Verdict& verdict);
/// nullopt for text that is no verdict of this format.
std::optional<Verdict> parse_verdict(const std::string& json);

}  // namespace whimbrel
