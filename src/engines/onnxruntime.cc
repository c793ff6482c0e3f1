// ONNX Runtime: opened by path on first use, because the wheel's library has no link name (its SONAME has no file).
#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "engines/common.h"

#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>

namespace whimbrel::engines {
namespace {

namespace fs = std::filesystem;

constexpr auto kRemedy =
    "pip install onnxruntime==1.32.0 in the environment whimbrel was built with, or set WHIMBREL_ONNXRUNTIME to "
    "its libonnxruntime.so";

/// A wheel that lies beside ours: <site-packages>/onnxruntime/capi.
std::vector<fs::path> beside(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code ignored;
  for (const auto& file : fs::directory_iterator(folder.parent_path() / "onnxruntime" / "capi", ignored)) {
    if (file.path().filename().string().starts_with("libonnxruntime.so.")) found.push_back(file.path());
  }
  return found;
}

std::vector<fs::path> library_candidates() {
  if (const char* chosen = std::getenv("WHIMBREL_ONNXRUNTIME"); chosen != nullptr && *chosen != '\0') return {chosen};
  std::vector<fs::path> candidates;
  for (const auto& folder : own_folders()) {
    for (auto& file : beside(folder)) candidates.push_back(std::move(file));
    for (auto& file : beside(folder.parent_path())) candidates.push_back(std::move(file));  // of whimbrel/bin, in a wheel
  }
  if (*WHIMBREL_ONNXRUNTIME_LIBRARY != '\0') candidates.emplace_back(WHIMBREL_ONNXRUNTIME_LIBRARY);
  return candidates;
}

/// Empty when it worked, else why not.
std::string load_library(const fs::path& path, std::string& version) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return one_line(dlerror());
  const auto get_base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(library, "OrtGetApiBase"));
  if (get_base == nullptr) return path.string() + " has no OrtGetApiBase";
  const OrtApi* api = get_base()->GetApi(ORT_API_VERSION);
  if (api == nullptr) {
    return fmt::format("{} is version {}, expected 1.{} or newer", path.string(), get_base()->GetVersionString(),
                       ORT_API_VERSION);
  }
  Ort::InitApi(api);
  version = get_base()->GetVersionString();
  return {};
}

EngineStatus load() {
  EngineStatus status{.kind = EngineKind::onnxruntime};
  std::string tried;
  for (const auto& candidate : library_candidates()) {
    const std::string failure = load_library(candidate, status.version);
    if (failure.empty()) {
      status.available = true;
      return status;
    }
    tried += (tried.empty() ? "" : "; ") + failure;
  }
  status.remedy = fmt::format("ONNX Runtime did not load ({}); {}", tried.empty() ? "no library found" : tried, kRemedy);
  return status;
}

void ORT_API_CALL forward_log(void*, OrtLoggingLevel level, const char* category, const char*, const char* location,
                              const char* message) {
  const auto ours = level >= ORT_LOGGING_LEVEL_ERROR ? LogLevel::warning : LogLevel::debug;  // errors also arrive as exceptions
  log(ours, one_line(fmt::format("onnxruntime: {} [{} {}]", message, category, location)));
}

/// The official Linux libraries from 1.29 on report sessions and models to Microsoft over the network, from threads of their
/// own and with a database in the home folder, unless this variable is set before the environment is made
/// (microsoft/onnxruntime PR 27379: the C function that turns it off comes too late). Someone's own setting wins.
Ort::Env* make_environment() {
  setenv("ORT_DISABLE_TELEMETRY", "1", 0);
  return new Ort::Env(ORT_LOGGING_LEVEL_WARNING, "whimbrel", forward_log, nullptr);
}

/// Never destroyed: the order in which the statics of two libraries go is not ours to choose.
Ort::Env& environment() {
  static Ort::Env* env = make_environment();
  return *env;
}

std::string type_name(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      return "float32";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      return "float16";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
      return "float64";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
      return "int64";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
      return "int32";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return "uint8";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
      return "int8";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
      return "bool";
    default:
      return fmt::format("ONNX element type {}", static_cast<int>(type));
  }
}

TensorInfo tensor_info(std::string name, const Ort::TypeInfo& type) {
  if (type.GetONNXType() != ONNX_TYPE_TENSOR) return {std::move(name), {}, "not a tensor"};
  const auto tensor = type.GetTensorTypeAndShapeInfo();
  return {std::move(name), tensor.GetShape(), type_name(tensor.GetElementType())};
}

/// Sizes of the symbols ("batch") that the model's input leaves free.
using Symbols = std::map<std::string, std::int64_t>;

Ort::SessionOptions session_options(const Symbols& symbols) {
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);  // run() computes on the calling thread: one worker per core beats all else (FINDINGS.md)
  options.SetInterOpNumThreads(1);
  options.SetExecutionMode(ORT_SEQUENTIAL);
  options.AddConfigEntry("session.intra_op.allow_spinning", "0");
  options.AddConfigEntry("session.inter_op.allow_spinning", "0");
  options.SetGraphOptimizationLevel(ORT_ENABLE_ALL);
  options.EnableMemPattern();
  // Known sizes let the layout and fusion passes do more: tf_efficientnet_b0 takes 7.7 ms instead of 9.2 with its batch fixed.
  for (const auto& [name, size] : symbols) {
    Ort::ThrowOnError(Ort::GetApi().AddFreeDimensionOverrideByName(options, name.c_str(), size));
  }
  return options;
}

/// Only to read what the file declares: nothing is optimized or packed.
Ort::SessionOptions reading_options() {
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  options.SetGraphOptimizationLevel(ORT_DISABLE_ALL);
  options.AddConfigEntry("session.disable_prepacking", "1");
  return options;
}

struct Network {
  Ort::Session session{nullptr};
  Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  Ort::RunOptions run_options;
  std::string where;
  TensorInfo input;
  std::vector<TensorInfo> outputs;

  Ort::Value tensor(std::vector<float>& values, const Shape& shape) const {
    return Ort::Value::CreateTensor<float>(memory, values.data(), values.size(), shape.data(), shape.size());
  }

  void run(const Ort::Value& in, std::vector<Ort::Value>& out) {
    std::vector<const char*> names;
    for (const auto& output : outputs) names.push_back(output.name.c_str());
    const char* const in_name = input.name.c_str();
    session.Run(run_options, &in_name, &in, 1, names.data(), out.data(), out.size());
  }
};

class OrtRunner final : public Runner {
 public:
  explicit OrtRunner(std::shared_ptr<Network> network) : network_(std::move(network)) {
    in_.resize(static_cast<std::size_t>(element_count(network_->input.shape)));
    in_tensor_ = network_->tensor(in_, network_->input.shape);
    for (const auto& output : network_->outputs) out_.emplace_back(static_cast<std::size_t>(element_count(output.shape)));
    for (std::size_t i = 0; i < out_.size(); ++i) out_tensors_.push_back(network_->tensor(out_[i], network_->outputs[i].shape));
  }

  std::span<float> input() override { return in_; }
  void run() override {
    translated(network_->where, [&] { network_->run(in_tensor_, out_tensors_); });
  }
  std::span<const float> output(std::size_t i) const override { return out_.at(i); }

 private:
  std::shared_ptr<Network> network_;
  std::vector<float> in_;
  std::vector<std::vector<float>> out_;
  Ort::Value in_tensor_{nullptr};
  std::vector<Ort::Value> out_tensors_;
};

class OrtSession final : public Session {
 public:
  explicit OrtSession(std::shared_ptr<Network> network) : network_(std::move(network)) {}
  const TensorInfo& input() const override { return network_->input; }
  const std::vector<TensorInfo>& outputs() const override { return network_->outputs; }
  std::unique_ptr<Runner> make_runner() override {
    return translated(network_->where, [&] { return std::make_unique<OrtRunner>(network_); });
  }

 private:
  std::shared_ptr<Network> network_;  // shared with the runners, which may live longer
};

/// The symbols of the declared input's free axes, at the sizes of `shape`. A symbol that would need two sizes is left free.
Symbols symbols_of(const Ort::TypeInfo& declared, const Shape& shape) {
  std::vector<const char*> names(shape.size(), "");
  const auto tensor = declared.GetTensorTypeAndShapeInfo();
  if (tensor.GetDimensionsCount() == shape.size()) tensor.GetSymbolicDimensions(names.data(), names.size());
  Symbols symbols;
  std::set<std::string> ambiguous;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (*names[i] == '\0') continue;
    if (symbols.try_emplace(names[i], shape[i]).first->second != shape[i]) ambiguous.insert(names[i]);
  }
  for (const auto& name : ambiguous) symbols.erase(name);
  return symbols;
}

/// Fills in names and input shape. Reading them takes a session of its own, because the sizes of free axes must be known before
/// the one that computes is made.
Symbols describe(Network& network, const fs::path& model, const SessionOptions& options) {
  const Ort::Session file(environment(), model.c_str(), reading_options());
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<TensorInfo> inputs;
  for (std::size_t i = 0; i < file.GetInputCount(); ++i) {
    inputs.push_back(tensor_info(file.GetInputNameAllocated(i, allocator).get(), file.GetInputTypeInfo(i)));
  }
  check_inputs(inputs, network.where);
  network.input = inputs[0];
  network.input.shape = fixed_input_shape(inputs[0].shape, options, network.where);

  std::vector<TensorInfo> all;
  std::vector<std::vector<std::string>> names;
  for (std::size_t i = 0; i < file.GetOutputCount(); ++i) {
    all.push_back(tensor_info(file.GetOutputNameAllocated(i, allocator).get(), file.GetOutputTypeInfo(i)));
    names.push_back({all.back().name});
  }
  for (const auto i : pick_outputs(names, options.outputs, network.where)) network.outputs.push_back(all[i]);
  return symbols_of(file.GetInputTypeInfo(0), network.input.shape);
}

/// Output shapes by one run on the probe, not from the file: torch's exporter writes the batch's symbol on axes that have
/// nothing to do with it (framewise [batch, 24, batch]), and a fixed symbol then makes the declared shape wrong.
void learn_output_shapes(Network& network, const SessionOptions& options) {
  std::vector<float> probe = probe_input(element_count(network.input.shape));
  std::vector<Ort::Value> results;
  for (std::size_t i = 0; i < network.outputs.size(); ++i) results.emplace_back(nullptr);
  network.run(network.tensor(probe, network.input.shape), results);
  for (std::size_t i = 0; i < results.size(); ++i) {
    network.outputs[i] = tensor_info(network.outputs[i].name, results[i].GetTypeInfo());
    check_output(network.outputs[i], options, network.where);
  }
}

}  // namespace

EngineStatus onnxruntime_status() {
  static const EngineStatus status = load();
  return status;
}

namespace {

/// @returns how errors about this model open
std::string require(const fs::path& model) {
  std::string where = where_of(EngineKind::onnxruntime, model);
  if (const auto status = onnxruntime_status(); !status.available) {
    throw Error(ErrorCode::unsupported, where + ": " + status.remedy);
  }
  return where;
}

/// @param change  has the last word on the session's options
std::shared_ptr<Network> open_network(const fs::path& model, const SessionOptions& options,
                                      const std::function<void(Ort::SessionOptions&)>& change) {
  const std::string where = require(model);
  return translated(where, [&] {
    auto network = std::make_shared<Network>();
    network->where = where;
    network->run_options.SetRunLogSeverityLevel(ORT_LOGGING_LEVEL_ERROR);  // else a wrongly declared output warns at every run
    const Symbols symbols = describe(*network, model, options);
    auto settings = session_options(symbols);
    if (change) change(settings);
    network->session = Ort::Session(environment(), model.c_str(), settings);
    learn_output_shapes(*network, options);
    return network;
  });
}

/// The profiler writes a file, an event a line: the one way there is to learn what a session ran.
std::vector<NodeTime> read_profile(const fs::path& file, int runs) {
  std::vector<NodeTime> nodes;
  std::map<std::string, std::size_t> known;
  for (const auto& event : nlohmann::json::parse(std::ifstream(file))) {
    const std::string name = event.value("name", "");
    constexpr std::string_view kEnd = "_kernel_time";
    if (event.value("cat", "") != "Node" || !name.ends_with(kEnd)) continue;
    const auto [at, is_new] = known.try_emplace(name, nodes.size());
    if (is_new) {
      const std::string kernel = event.at("args").value("op_name", "");
      nodes.push_back({name.substr(0, name.size() - kEnd.size()), kernel, kernel.starts_with("QLinear") || kernel == "QGemm"});
    }
    nodes[at->second].ms += event.value("dur", 0.0) * 1e-3 / runs;
  }
  return nodes;
}

}  // namespace

std::unique_ptr<Session> open_onnxruntime(const fs::path& model, const SessionOptions& options) {
  return std::make_unique<OrtSession>(open_network(model, options, {}));
}

std::vector<NodeTime> profile_with_onnxruntime(const fs::path& model, const SessionOptions& options,
                                               std::span<const float> input, int runs) {
  const auto prefix = fs::temp_directory_path() / fmt::format("whimbrel-profile-{}", getpid());
  const auto network =
      open_network(model, options, [&](Ort::SessionOptions& settings) { settings.EnableProfiling(prefix.c_str()); });
  OrtRunner runner(network);
  std::ranges::copy(input.first(runner.input().size()), runner.input().begin());
  for (int i = 0; i < runs; ++i) runner.run();
  return translated(network->where, [&] {
    Ort::AllocatorWithDefaultOptions allocator;
    const fs::path file = network->session.EndProfilingAllocated(allocator).get();
    auto nodes = read_profile(file, runs + 1);  // and the run that learned the outputs' shapes
    std::error_code ignored;
    fs::remove(file, ignored);
    return nodes;
  });
}

std::string onnxruntime_remark(const fs::path& model, const std::string& key) {
  return translated(require(model), [&]() -> std::string {
    const Ort::Session file(environment(), model.c_str(), reading_options());
    Ort::AllocatorWithDefaultOptions allocator;
    const auto value = file.GetModelMetadata().LookupCustomMetadataMapAllocated(key.c_str(), allocator);
    return value ? value.get() : "";
  });
}

}  // namespace whimbrel::engines

namespace whimbrel {

void fold_model(const std::filesystem::path& model, const std::filesystem::path& folded) {
  const std::string where = engines::require(model);
  check_model_files(model);
  engines::translated(where, [&] {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    options.SetGraphOptimizationLevel(ORT_ENABLE_BASIC);
    options.SetOptimizedModelFilePath(folded.c_str());
    options.AddConfigEntry("session.disable_prepacking", "1");
    constexpr std::uintmax_t kInlineBytes = std::uintmax_t{1500} << 20;
    std::error_code ignored;
    const auto data = std::filesystem::path(model.string() + ".data");
    if (std::filesystem::file_size(model, ignored) > kInlineBytes || std::filesystem::exists(data, ignored)) {
      options.AddConfigEntry("session.optimized_model_external_initializers_file_name",
                             (folded.filename().string() + ".data").c_str());
    }
    const Ort::Session session(engines::environment(), model.c_str(), options);
  });
}

}  // namespace whimbrel
