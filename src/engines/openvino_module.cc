// The OpenVINO module's entry point and its sessions.
#include <fmt/format.h>

#include <mutex>

#include "engines/openvino_api.h"
#include "engines/openvino_read.h"

namespace whimbrel::engines {
namespace {

struct Network {
  std::string where;
  ov::CompiledModel compiled;
  std::mutex making_request;
  TensorInfo input;
  std::vector<TensorInfo> outputs;
};

class OpenVinoRunner final : public Runner {
 public:
  explicit OpenVinoRunner(std::shared_ptr<Network> network) : network_(std::move(network)) {
    const std::lock_guard lock(network_->making_request);
    request_ = network_->compiled.create_infer_request();
    in_ = ov::Tensor(ov::element::f32, network_->compiled.input().get_shape());
    request_.set_input_tensor(in_);
    for (std::size_t i = 0; i < network_->outputs.size(); ++i) {
      out_.emplace_back(ov::element::f32, network_->compiled.output(i).get_shape());
      request_.set_output_tensor(i, out_.back());
    }
  }

  std::span<float> input() override { return {in_.data<float>(), in_.get_size()}; }
  void run() override {
    translated(network_->where, [&] {
      request_.start_async();
      request_.wait();
    });
  }
  std::span<const float> output(std::size_t i) const override {
    return {out_.at(i).data<const float>(), out_.at(i).get_size()};
  }

 private:
  std::shared_ptr<Network> network_;
  ov::InferRequest request_;
  ov::Tensor in_;
  std::vector<ov::Tensor> out_;
};

class OpenVinoSession final : public Session {
 public:
  explicit OpenVinoSession(std::shared_ptr<Network> network) : network_(std::move(network)) {}
  const TensorInfo& input() const override { return network_->input; }
  const std::vector<TensorInfo>& outputs() const override { return network_->outputs; }
  std::unique_ptr<Runner> make_runner() override {
    return translated(network_->where, [&] { return std::make_unique<OpenVinoRunner>(network_); });
  }

 private:
  std::shared_ptr<Network> network_;  // shared with the runners, which may live longer
};

/// The model with only the wanted outputs, in that order.
std::shared_ptr<ov::Model> with_outputs(const std::shared_ptr<ov::Model>& model, const std::vector<std::string>& wanted,
                                        const std::string& where) {
  std::vector<std::vector<std::string>> names;
  for (const auto& output : std::as_const(*model).outputs()) names.push_back(port_names(output));
  ov::ResultVector results;
  for (const auto i : pick_outputs(names, wanted, where)) results.push_back(model->get_results()[i]);
  return std::make_shared<ov::Model>(results, model->get_parameters());
}

ov::AnyMap properties(int workers) {
  return {
      ov::num_streams(workers), ov::inference_num_threads(workers),
      ov::hint::enable_cpu_pinning(false),             // the box is shared, and the workers' cores are not ours to choose
      ov::hint::enable_hyper_threading(true),          // the number of workers already says which logical cores count
      ov::hint::inference_precision(ov::element::f32)  // else bf16 where the CPU has it, and scores change with the machine
  };
}

}  // namespace

namespace {

std::shared_ptr<Network> compile(const std::filesystem::path& path, const SessionOptions& options, bool profiled) {
  const std::string where = where_of(EngineKind::openvino, path);
  return translated(where, [&] {
    auto model = read_model(path);
    std::vector<TensorInfo> inputs;
    for (const auto& input : std::as_const(*model).inputs()) inputs.push_back(tensor_info(input));
    check_inputs(inputs, where);

    auto network = std::make_shared<Network>();
    network->where = where;
    network->input = inputs[0];
    network->input.shape = fixed_input_shape(inputs[0].shape, options, where);
    model = with_outputs(model, options.outputs, where);
    model->reshape(ov::PartialShape(network->input.shape));
    const ov::OutputVector outputs = model->outputs();
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      network->outputs.push_back(tensor_info(std::as_const(*model).output(i)));
      if (i < options.outputs.size()) network->outputs.back().name = options.outputs[i];
      check_output(network->outputs.back(), options, where);
    }
    auto settings = properties(options.workers);
    if (profiled) settings.insert(ov::enable_profiling(true));
    network->compiled = core().compile_model(model, "CPU", settings);
    return network;
  });
}

/// OpenVINO names a kernel by how it is made and what it multiplies: "brgconv_avx512_I8".
bool is_integer(const std::string& kernel) { return kernel.ends_with("_I8") || kernel.ends_with("_U8"); }

std::vector<NodeTime> profile(const std::filesystem::path& path, const SessionOptions& options, std::span<const float> input,
                              int runs) {
  const auto network = compile(path, options, true);
  return translated(network->where, [&] {
    auto request = network->compiled.create_infer_request();
    ov::Tensor in(ov::element::f32, network->compiled.input().get_shape());
    std::ranges::copy(input.first(in.get_size()), in.data<float>());
    request.set_input_tensor(in);
    std::vector<NodeTime> nodes;
    for (int run = -2; run < runs; ++run) {  // two to warm up
      request.infer();
      if (run < 0) continue;
      const auto infos = request.get_profiling_info();
      nodes.resize(infos.size());
      for (std::size_t i = 0; i < infos.size(); ++i) {
        nodes[i].name = infos[i].node_name;
        nodes[i].kernel = infos[i].exec_type;
        nodes[i].integer = is_integer(infos[i].exec_type);
        nodes[i].ms += static_cast<double>(infos[i].real_time.count()) * 1e-3 / runs;
      }
    }
    return nodes;
  });
}

/// ONNX metadata stands under "framework" in the model's rt_info, what convert wrote under its own name.
std::string remark(const std::filesystem::path& path, const std::string& key) {
  return translated(where_of(EngineKind::openvino, path), [&]() -> std::string {
    const auto model = read_model(path);
    for (const auto& place : {std::vector<std::string>{key}, std::vector<std::string>{"framework", key}}) {
      if (model->has_rt_info(place)) return model->get_rt_info<std::string>(place);
    }
    return {};
  });
}

}  // namespace

std::unique_ptr<Session> open(const std::filesystem::path& path, const SessionOptions& options) {
  return std::make_unique<OpenVinoSession>(compile(path, options, false));
}

namespace {

class Module final : public OpenVino {
 public:
  std::string version() override {
    const std::string build = ov::get_openvino_version().buildNumber;  // "2026.4.1-<build>-<commit>"
    return build.substr(0, build.find('-'));
  }
  std::unique_ptr<Session> open(const std::filesystem::path& model, const SessionOptions& options) override {
    return engines::open(model, options);
  }
  std::vector<NodeTime> profile(const std::filesystem::path& model, const SessionOptions& options, std::span<const float> input,
                                int runs) override {
    return engines::profile(model, options, input, runs);
  }
  std::string remark(const std::filesystem::path& model, const std::string& key) override {
    return engines::remark(model, key);
  }
  ModelInfo inspect(const std::filesystem::path& model, const Shape& row_shape) override {
    return engines::inspect(model, row_shape);
  }
  WrittenIr write_ir(const std::filesystem::path& model, const std::filesystem::path& xml,
                     const ConvertOptions& options) override {
    return engines::write_ir(model, xml, options);
  }
};

}  // namespace
}  // namespace whimbrel::engines

extern "C" __attribute__((visibility("default"))) whimbrel::engines::EngineModule* whimbrel_engine_module(
    const char* program_version) {
  static whimbrel::engines::Module module;
  return program_version == std::string_view(WHIMBREL_VERSION) ? &module : nullptr;
}
