// An engine for tests in the place of OpenVINO (WHIMBREL_ENGINE_PATH): a network that needs no file, and that misbehaves as
// WHIMBREL_DOCTOR says: "[model:]fault[@n[+]]", where n counts a session's batches of recordings from 1, "+" is for "and all
// that follow" and nothing is for "always". At the start: throw_at_open, bad_alloc_at_open, wrong_shape, wrong_probe,
// nan_at_start. Later: throw, bad_alloc, nan, inf, nan_one_row, nan_frame, runner (the n-th runner cannot be made), grow (takes
// 20 ms and keeps 4 MB).
//
// The network: of samples [batch, n] in 10 frames, frame[f, c] = 8 (c + 1) mean|x in f| - 2 + (first letter of the model's name
// - 'a') / 4 for 4 classes; clip is the frames' mean. tests/python/test_engine_faults.py writes it as ONNX.
#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <new>
#include <thread>

#include "engines/common.h"
#include "engines/openvino_api.h"

namespace whimbrel::engines {
namespace {

constexpr std::size_t kClasses = 4, kFrames = 10;
constexpr std::size_t kGrowth_bytes = std::size_t{4} << 20;

struct Doctor {
  std::string fault;
  int from = 1;
  bool and_on = true;

  bool hits(std::string_view what, int n) const { return fault == what && (n == from || (and_on && n > from)); }
};

/// What WHIMBREL_DOCTOR says for a model of this name.
Doctor doctor_of(const std::string& model) {
  const char* said = std::getenv("WHIMBREL_DOCTOR");
  std::string text = said == nullptr ? "" : said;
  if (const auto colon = text.find(':'); colon != std::string::npos) {
    if (text.substr(0, colon) != model) return {};
    text.erase(0, colon + 1);
  }
  Doctor doctor{.fault = text.substr(0, text.find('@'))};
  if (const auto at = text.find('@'); at != std::string::npos) {
    doctor.and_on = text.ends_with('+');
    std::from_chars(text.data() + at + 1, text.data() + text.size(), doctor.from);
  }
  return doctor;
}

struct Network {
  std::string where;
  Doctor doctor;
  float offset = 0;
  TensorInfo input;
  std::vector<TensorInfo> outputs;
  std::atomic<int> batches{0};  // of recordings
  std::atomic<int> runners{0};
  std::mutex growing;
  std::vector<std::vector<char>> grown;
};

class DoctoredRunner final : public Runner {
 public:
  explicit DoctoredRunner(std::shared_ptr<Network> network) : network_(std::move(network)) {
    in_.resize(static_cast<std::size_t>(element_count(network_->input.shape)));
    for (const auto& output : network_->outputs) out_.emplace_back(static_cast<std::size_t>(element_count(output.shape)));
  }

  std::span<float> input() override { return in_; }
  std::span<const float> output(std::size_t i) const override { return out_.at(i); }

  void run() override {
    compute();
    const auto row = std::span(in_).first(in_.size() / batch());
    const bool known = std::ranges::none_of(row, [](float x) { return x < 0; });  // the probe, and not a recording
    misbehave(known ? 0 : ++network_->batches);
  }

 private:
  std::size_t batch() const { return static_cast<std::size_t>(network_->input.shape[0]); }

  void compute() {
    const std::size_t samples = in_.size() / batch(), frame = samples / kFrames;
    for (std::size_t b = 0; b < batch(); ++b) {
      std::array<std::array<float, kClasses>, kFrames> frames{};
      for (std::size_t f = 0; f < kFrames; ++f) {
        double sum = 0;
        for (std::size_t i = 0; i < frame; ++i) sum += std::abs(in_[b * samples + f * frame + i]);
        for (std::size_t c = 0; c < kClasses; ++c) {
          frames[f][c] =
              static_cast<float>(8 * static_cast<double>(c + 1) * sum / static_cast<double>(frame) - 2) + network_->offset;
        }
      }
      for (std::size_t o = 0; o < out_.size(); ++o) write(frames, b, o);
    }
  }

  void write(const std::array<std::array<float, kClasses>, kFrames>& frames, std::size_t b, std::size_t o) {
    const bool clip = network_->outputs[o].shape.size() == 2;
    for (std::size_t f = 0; f < kFrames; ++f) {
      for (std::size_t c = 0; c < kClasses; ++c) {
        if (!clip) {
          out_[o][(b * kFrames + f) * kClasses + c] = frames[f][c];
        } else {
          const auto at = b * static_cast<std::size_t>(network_->outputs[o].shape[1]) + c;
          out_[o][at] = (f == 0 ? 0 : out_[o][at]) + frames[f][c] / kFrames;
        }
      }
    }
  }

  /// @param n  0: at the start
  void misbehave(int n) {
    const auto& doctor = network_->doctor;
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    if (n == 0) {
      if (doctor.fault == "nan_at_start") out_[0][1] = kNan;
      if (doctor.fault == "wrong_probe") out_[0][1] += 0.5F;
      return;
    }
    if (doctor.hits("throw", n)) throw Error(ErrorCode::engine, network_->where + ": the doctor threw");
    if (doctor.hits("bad_alloc", n)) throw std::bad_alloc();
    if (doctor.hits("nan", n)) std::ranges::fill(out_[0], kNan);
    if (doctor.hits("inf", n)) std::ranges::fill(out_[0], std::numeric_limits<float>::infinity());
    if (doctor.hits("nan_one_row", n)) out_[0][1] = kNan;
    if (doctor.hits("nan_frame", n)) out_.back()[1] = kNan;
    if (doctor.hits("grow", n)) {
      const std::lock_guard lock(network_->growing);
      network_->grown.emplace_back(kGrowth_bytes, '\1');
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  std::shared_ptr<Network> network_;
  std::vector<float> in_;
  std::vector<std::vector<float>> out_;
};

class DoctoredSession final : public Session {
 public:
  explicit DoctoredSession(std::shared_ptr<Network> network) : network_(std::move(network)) {}
  const TensorInfo& input() const override { return network_->input; }
  const std::vector<TensorInfo>& outputs() const override { return network_->outputs; }
  std::unique_ptr<Runner> make_runner() override {
    if (network_->doctor.hits("runner", ++network_->runners)) throw std::bad_alloc();
    return std::make_unique<DoctoredRunner>(network_);
  }

 private:
  std::shared_ptr<Network> network_;
};

class Module final : public OpenVino {
 public:
  std::string version() override { return "0.0.1"; }

  std::unique_ptr<Session> open(const std::filesystem::path& model, const SessionOptions& options) override {
    auto network = std::make_shared<Network>();
    const auto name = model.stem().string();
    network->where = where_of(EngineKind::openvino, model);
    network->doctor = doctor_of(name);
    if (network->doctor.fault == "throw_at_open") throw Error(ErrorCode::engine, network->where + ": the doctor threw");
    if (network->doctor.fault == "bad_alloc_at_open") throw std::bad_alloc();
    network->offset = static_cast<float>(name[0] - 'a') / 4;
    network->input = {"samples", fixed_input_shape({}, options, network->where), "float32"};
    const std::int64_t classes = kClasses + (network->doctor.fault == "wrong_shape" ? 1 : 0);
    const std::vector<TensorInfo> all = {{"clip", {options.batch, classes}, "float32"},
                                         {"frame", {options.batch, kFrames, kClasses}, "float32"}};
    for (const auto i : pick_outputs({{"clip"}, {"frame"}}, options.outputs, network->where))
      network->outputs.push_back(all[i]);
    return std::make_unique<DoctoredSession>(std::move(network));
  }

  std::vector<NodeTime> profile(const std::filesystem::path&, const SessionOptions&, std::span<const float>, int) override {
    return {};
  }
  std::string remark(const std::filesystem::path&, const std::string&) override { return {}; }
  ModelInfo inspect(const std::filesystem::path&, const Shape&) override { return {}; }
  WrittenIr write_ir(const std::filesystem::path& model, const std::filesystem::path&, const ConvertOptions&) override {
    throw Error(ErrorCode::unsupported, where_of(EngineKind::openvino, model) + ": the doctor does not convert");
  }
};

}  // namespace
}  // namespace whimbrel::engines

extern "C" __attribute__((visibility("default"))) whimbrel::engines::EngineModule* whimbrel_engine_module(
    const char* program_version) {
  static whimbrel::engines::Module module;
  return program_version == std::string_view(WHIMBREL_VERSION) ? &module : nullptr;
}
