// The TorchScript module: its entry point, sessions, and what can be told of a file. The only file that includes torch, whose
// header alone compiles for 20 s.
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>
#include <torch/version.h>

#include "engines/common.h"
#include "engines/engine_module.h"
#include "engines/torchscript_record.h"

namespace whimbrel::engines {
namespace {

namespace fs = std::filesystem;
namespace jit = torch::jit;

/// Drops torch's warnings, which would go to stderr.
class NoWarnings final : public c10::WarningHandler {
 public:
  void process(const c10::Warning&) override {}
};

/// One thread for torch's own loops, and float32 wherever float32 is written. The pool for operators beside each other is only
/// sized: it would start with the first fork, and refuses a size after that (a Python process may have used it).
bool set_up_torch() {
  at::set_num_threads(1);
  at::globalContext().setFloat32MatmulPrecision("highest");
  try {
    at::set_num_interop_threads(1);
  } catch (const c10::Error&) {
    return true;
  }
  return true;
}

/// What every call of torch needs around it on the thread it comes from.
class TorchScope {
 public:
  TorchScope() {
    static const bool set_up = set_up_torch();
    // OpenMP's number of threads is a setting of each thread, and oneDNN asks OpenMP.
    thread_local const bool one_thread = (at::init_num_threads(), true);
    static_cast<void>(set_up && one_thread);
  }

 private:
  NoWarnings none_;
  c10::WarningUtils::WarningHandlerGuard warnings_{&none_};
};

/// translated(), without the backtrace of torch's own errors.
template <typename F>
auto translated_torch(const std::string& where, F&& f) {
  return translated(where, [&] {
    try {
      const TorchScope scope;
      return f();
    } catch (const c10::Error& e) {  // JITException and ErrorReport are none
      throw Error(ErrorCode::engine, where + ": " + one_line(e.what_without_backtrace()));
    }
  });
}

struct File {
  jit::Module module;
  TorchRecord record;
  std::vector<TensorInfo> inputs;  // names; shapes where recorded
};

std::string type_name(const c10::TypePtr& type) {
  return type->kind() == c10::TypeKind::TensorType ? "float32" : type->str();  // a tensor's type is not declared
}

std::string type_name(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return "float32";
    case at::kHalf:
      return "float16";
    case at::kDouble:
      return "float64";
    case at::kLong:
      return "int64";
    case at::kInt:
      return "int32";
    default:
      return one_line(c10::toString(type));
  }
}

File read(const fs::path& path, const std::string& where) {
  jit::ExtraFilesMap extra{{kRecordFile, ""}};
  File file;
  try {
    file.module = jit::load(path.string(), at::kCPU, extra);
  } catch (const c10::Error& e) {
    throw Error(ErrorCode::engine,
                fmt::format("{}: cannot be loaded, expected TorchScript (torch.jit.save), not a checkpoint: {}", where,
                            one_line(e.what_without_backtrace())));
  }
  file.module.eval();
  file.record = parse_record(extra[kRecordFile], where);
  const auto& arguments = file.module.get_method("forward").function().getSchema().arguments();
  for (std::size_t i = 1; i < arguments.size(); ++i) {  // 0 is the module
    if (arguments[i].default_value()) continue;
    file.inputs.push_back({arguments[i].name(), {}, type_name(arguments[i].type())});
  }
  if (file.inputs.size() == 1) {
    file.inputs[0].shape = file.record.shape;
    if (!file.record.input.empty()) file.inputs[0].name = file.record.input;
  }
  return file;
}

/// A free batch and the declared or given row. @throws Error{bad_manifest} where neither is known
Shape input_shape(const File& file, const SessionOptions& options, const std::string& where) {
  if (file.record.shape.empty() && options.row_shape.empty()) {
    throw Error(ErrorCode::bad_manifest, where + ": the file does not say the shape of its input, expected one from outside; " +
                                             "describe the window in the manifest's [input], or export the model again");
  }
  return fixed_input_shape(file.record.shape, options, where);
}

/// Tensors that forward() returned: one, or a tuple or list of them.
std::vector<at::Tensor> tensors_of(const c10::IValue& value, const std::string& where) {
  std::vector<at::Tensor> tensors;
  if (value.isTensor()) return {value.toTensor()};
  if (value.isTensorList()) return value.toTensorVector();
  if (value.isTuple()) {
    for (const auto& element : value.toTupleRef().elements()) {
      if (element.isTensor()) tensors.push_back(element.toTensor());
    }
    if (tensors.size() == value.toTupleRef().elements().size()) return tensors;
  }
  throw Error(ErrorCode::bad_manifest,
              fmt::format("{}: it returns {}, expected a tensor or a tuple of tensors; export it by `whimbrel export`", where,
                          value.type()->str()));
}

/// The recorded names, or output_0, output_1, ... @throws Error{bad_manifest} where their numbers differ
std::vector<std::string> output_names(const TorchRecord& record, std::size_t count, const std::string& where) {
  if (!record.outputs.empty() && record.outputs.size() != count) {
    throw Error(ErrorCode::bad_manifest, fmt::format("{}: its {} names {} outputs, the network has {}; export the model again",
                                                     where, kRecordFile, record.outputs.size(), count));
  }
  std::vector<std::string> names = record.outputs;
  for (std::size_t i = names.size(); i < count; ++i) names.push_back(fmt::format("output_{}", i));
  return names;
}

/// Convolutions compute in the channels-last layout: with their weights so and batch normalization folded in,
/// tf_efficientnet_b0 takes 15.6 ms a window on one thread; 18.0 frozen only, 20.8 as loaded, and 22.5 after
/// torch::jit::optimize_for_inference, whose blocked layout is left and entered again around each activation that it does not
/// know (torch 2.13).
jit::Module prepared(const jit::Module& module) {
  const at::NoGradGuard no_grad;
  for (at::Tensor weight : module.parameters()) {
    if (weight.dim() == 4) weight.set_data(weight.contiguous(at::MemoryFormat::ChannelsLast));
  }
  return jit::freeze(module);
}

struct Network {
  std::string where;
  jit::Module module;
  TensorInfo input;
  std::vector<TensorInfo> outputs;
  std::vector<std::size_t> picked;  // position of each output among what forward() returns

  std::vector<at::Tensor> call(const at::Tensor& in) {
    const c10::InferenceMode inference;
    // The profiling executor runs a model once to watch it and then compiles it again for the shapes that it saw, seconds into
    // the real run; what it gains there is less than nothing on convolutional networks (tf_efficientnet_b0: 17.5 ms, without
    // it 15.6). Off for runs only: freeze() needs the optimizer, which puts the layers' calls in line.
    const jit::GraphOptimizerEnabledGuard no_profiling(false);
    // A copy, because a network may write into what it is given.
    const auto layout = in.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
    return tensors_of(module.forward({in.clone(layout)}), where);
  }
};

at::Tensor view_of(std::vector<float>& values, const Shape& shape) { return at::from_blob(values.data(), shape, at::kFloat); }

class TorchRunner final : public Runner {
 public:
  explicit TorchRunner(std::shared_ptr<Network> network) : network_(std::move(network)) {
    in_.resize(static_cast<std::size_t>(element_count(network_->input.shape)));
    for (const auto& output : network_->outputs) out_.emplace_back(static_cast<std::size_t>(element_count(output.shape)));
  }

  std::span<float> input() override { return in_; }
  void run() override {
    translated_torch(network_->where, [&] {
      const auto results = network_->call(view_of(in_, network_->input.shape));
      for (std::size_t i = 0; i < out_.size(); ++i) copy(results.at(network_->picked[i]), i);
    });
  }
  std::span<const float> output(std::size_t i) const override { return out_.at(i); }

 private:
  void copy(const at::Tensor& result, std::size_t i) {
    const auto& info = network_->outputs[i];
    if (result.scalar_type() != at::kFloat || result.sizes() != at::IntArrayRef(info.shape)) {
      throw Error(ErrorCode::engine,
                  fmt::format("{}: output '{}' is {} now, expected {} as at the first run; leave it out of [output]",
                              network_->where, info.name, to_string(result.sizes().vec()), to_string(info.shape)));
    }
    view_of(out_[i], info.shape).copy_(result);
  }

  std::shared_ptr<Network> network_;
  std::vector<float> in_;
  std::vector<std::vector<float>> out_;
};

class TorchSession final : public Session {
 public:
  explicit TorchSession(std::shared_ptr<Network> network) : network_(std::move(network)) {}
  const TensorInfo& input() const override { return network_->input; }
  const std::vector<TensorInfo>& outputs() const override { return network_->outputs; }
  std::unique_ptr<Runner> make_runner() override {
    return translated_torch(network_->where, [&] { return std::make_unique<TorchRunner>(network_); });
  }

 private:
  std::shared_ptr<Network> network_;  // shared with the runners, which may live longer
};

/// One run on the probe: what comes out is nowhere declared, and the interpreter's plan is made now and not in a worker.
std::vector<TensorInfo> learn_outputs(Network& network, const TorchRecord& record) {
  std::vector<float> probe = probe_input(element_count(network.input.shape));
  const auto results = network.call(view_of(probe, network.input.shape));
  const auto names = output_names(record, results.size(), network.where);
  std::vector<TensorInfo> outputs;
  for (std::size_t i = 0; i < results.size(); ++i) {
    outputs.push_back({names[i], results[i].sizes().vec(), type_name(results[i].scalar_type())});
  }
  return outputs;
}

class Module final : public EngineModule {
 public:
  std::string version() override {
    return fmt::format("{}.{}.{}", TORCH_VERSION_MAJOR, TORCH_VERSION_MINOR, TORCH_VERSION_PATCH);
  }

  std::unique_ptr<Session> open(const fs::path& path, const SessionOptions& options) override {
    const std::string where = where_of(EngineKind::torchscript, path);
    return translated_torch(where, [&] {
      const File file = read(path, where);
      check_inputs(file.inputs, where);
      auto network = std::make_shared<Network>();
      network->where = where;
      network->input = file.inputs[0];
      network->input.shape = input_shape(file, options, where);
      network->module = prepared(file.module);
      const auto all = learn_outputs(*network, file.record);
      std::vector<std::vector<std::string>> names;
      for (const auto& output : all) names.push_back({output.name});
      network->picked = pick_outputs(names, options.outputs, where);
      for (const auto i : network->picked) {
        network->outputs.push_back(all[i]);
        check_output(all[i], options, where);
      }
      return std::make_unique<TorchSession>(std::move(network));
    });
  }

  ModelInfo inspect(const fs::path& path, const Shape& row_shape) override {
    const std::string where = "inspect: " + path.string();
    return translated_torch(where, [&] {
      const File file = read(path, where);
      ModelInfo info;
      info.format = "torchscript";
      info.file_bytes = static_cast<std::int64_t>(fs::file_size(path));
      info.inputs = file.inputs;
      for (const auto& parameter : file.module.parameters()) info.parameters += parameter.numel();
      const bool runs = file.inputs.size() == 1 && file.inputs[0].element_type == "float32";
      if (!runs || (row_shape.empty() && file.record.shape.empty())) return info;
      describe_by_a_run(file, row_shape, where, info);
      return info;
    });
  }

 private:
  /// Outputs, with the batch free where the recorded input's is or nothing is recorded.
  static void describe_by_a_run(const File& file, const Shape& row_shape, const std::string& where, ModelInfo& info) {
    const bool fixed = !file.record.shape.empty() && file.record.shape[0] > 0;
    const SessionOptions options{.batch = fixed ? file.record.shape[0] : 1, .row_shape = row_shape};
    Network network{.where = where, .module = file.module, .input = file.inputs[0]};
    network.input.shape = input_shape(file, options, where);
    info.outputs = learn_outputs(network, file.record);
    if (info.inputs[0].shape.empty()) {
      info.inputs[0].shape = network.input.shape;
      info.inputs[0].shape[0] = -1;
    }
    for (auto& output : info.outputs) {
      if (!fixed && !output.shape.empty()) output.shape[0] = -1;
    }
  }
};

}  // namespace
}  // namespace whimbrel::engines

extern "C" __attribute__((visibility("default"))) whimbrel::engines::EngineModule* whimbrel_engine_module(
    const char* program_version) {
  static whimbrel::engines::Module module;
  return program_version == std::string_view(WHIMBREL_VERSION) ? &module : nullptr;
}
