// The steps in order, for one engine after the other; the better result is kept.
#include "whimbrel/quantize.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "quantize/certify.h"
#include "quantize/choose.h"
#include "quantize/prepare.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace quantize {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kFewestWindows = 8;      // of calibration and of certification
constexpr std::int64_t kFewWindows = 50;        // of certification: enough to go on, not to trust
constexpr std::size_t kTrialWindows = 32;       // calibration windows that observers and units are compared on
constexpr std::size_t kMostUnits = 20;          // that may return to float
constexpr std::size_t kMostObserverUnits = 10;  // that may have an observer of their own

/// A folder for trial models that goes with its owner.
class WorkFolder {
 public:
  explicit WorkFolder(const fs::path& beside) : path_(beside / fmt::format(".whimbrel-quantize-{}", getpid())) {
    std::error_code failed;
    fs::create_directory(path_, failed);
    if (failed) {
      throw Error(ErrorCode::io,
                  fmt::format("{}: {}; choose an output folder that can be written to", path_.string(), failed.message()));
    }
  }
  ~WorkFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

class StepClock {
 public:
  StepClock(const QuantizeOptions& options, std::map<std::string, double>& seconds) : options_(options), seconds_(seconds) {}
  template <typename F>
  auto time(const std::string& step, F&& f) {
    check_cancelled(options_);
    const auto begin = Clock::now();
    struct Stop {
      double& seconds;
      Clock::time_point begin;
      ~Stop() { seconds += seconds_between(begin, Clock::now()); }
    } stop{seconds_[step], begin};
    return f();
  }
  void say(const std::string& line) const {
    if (options_.on_step) options_.on_step(line);
  }

 private:
  const QuantizeOptions& options_;
  std::map<std::string, double>& seconds_;
};

void check_rows(const WindowRows& rows, const Shape& row_shape, const std::string& purpose) {
  if (rows.count < kFewestWindows) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} windows to {} on, expected at least {}; give more or longer recordings", rows.count, purpose,
                            kFewestWindows));
  }
  std::vector<float> first(static_cast<std::size_t>(element_count(row_shape)));
  std::vector<float> other(first.size());
  rows.read(0, first);
  for (std::int64_t r = 1; r < rows.count; ++r) {
    rows.read(r, other);
    if (!std::ranges::equal(first, other)) return;
  }
  throw Error(ErrorCode::invalid_argument,
              fmt::format("all {} windows to {} on are the same (silence?), expected recordings of what the model will hear",
                          rows.count, purpose));
}

bool must_not_saturate(QuantizeIsa isa, const CpuInfo& cpu) {
  if (isa != QuantizeIsa::native) return isa == QuantizeIsa::avx2;
  return !(cpu.integer_path.ends_with("vnni") || cpu.integer_path == "amx_int8");
}

/// ", but entropy for 2, percentile for 3 blocks"
std::string others_text(const ObserverChoice& choice) {
  std::string text;
  for (const auto& [name, count] : choice.units)
    text += fmt::format("{}{} for {}", text.empty() ? ", but " : ", ", name, count);
  return text.empty() ? text : text + " blocks";
}

/// One run of all steps; owns what the engines share.
class Quantizer {
 public:
  explicit Quantizer(const QuantizeOptions& options)
      : options_(options),
        folder_(options.output.parent_path().empty() ? fs::path(".") : options.output.parent_path()),
        steps_(options, seconds_) {}

  Certificate run() {
    check_rows(options_.calibration, options_.row_shape, "calibrate");
    check_rows(options_.certification, options_.row_shape, "certify");
    prepare();
    open_float();
    if (options_.certification.count < kFewWindows) {
      log(LogLevel::warning, fmt::format("only {} windows to certify on: a share of them says little; give more recordings",
                                         options_.certification.count));
    }
    std::optional<Finished> best;
    std::string failures;
    for (const auto target : options_.targets) {
      try {
        auto finished = for_target(target);
        if (!best || better(finished.certificate, best->certificate)) best = std::move(finished);
      } catch (const Error& error) {
        if (options_.targets.size() == 1 || error.code() != ErrorCode::engine) throw;
        failures += fmt::format("; {}: {}", to_string(target), error.what());
        log(LogLevel::warning, error.what());
      }
    }
    if (!best) throw Error(ErrorCode::engine, "no engine runs the quantized model" + failures);
    finish(*best);
    return std::move(best->certificate);
  }

 private:
  struct Finished {
    Certificate certificate;
    Graph graph;
  };

  static bool better(const Certificate& a, const Certificate& b) {
    if (a.keep_fp32 != b.keep_fp32) return !a.keep_fp32;
    return a.speed.ratio > b.speed.ratio;
  }

  void prepare() {
    steps_.time("prepare", [&] {
      graph_ = quantize::prepare(options_.model, options_.row_shape, folder_.path());
      selection_ = select_products(graph_, options_.keep, options_.model.string());
    });
    steps_.say(fmt::format("prepare    {} products to quantize, {} stay in float", selection_.products.size(),
                           selection_.kept.size()));
    const auto cpu = cpu_info();
    std::set<std::string> tensors, last_axis;
    for (const auto target : options_.targets) tensors.merge(tensors_to_watch(graph_, selection_, target));
    for (const auto& product : selection_.products) {
      const auto& node = graph_.nodes[product.node];
      if (node.op_type() != "Conv") last_axis.insert(node.input(0));
    }
    const auto calibrate = [&] {
      return steps_.time("calibrate", [&] {
        return quantize::calibrate(graph_, tensors, last_axis, options_.calibration, options_.row_shape, options_.workers,
                                   folder_.path());
      });
    };
    statistics_ = calibrate();
    if (const int pairs = equalize(graph_, selection_, statistics_); pairs > 0) {
      steps_.say(fmt::format("equalize   {} pairs", pairs));
      statistics_ = calibrate();
    }
    steps_.say(fmt::format("calibrate  {} tensors over {} windows", tensors.size(), options_.calibration.count));
    constants_ = steps_.time(
        "weights", [&] { return product_constants(graph_, selection_, statistics_, must_not_saturate(options_.isa, cpu)); });
    for (const auto& [name, constants] : constants_) narrowed_ += std::ranges::count(constants.weights.narrowed, true);
  }

  std::unique_ptr<Session> open_model(EngineKind engine, const fs::path& file) const {
    return open_session(
        engine, file, {.batch = 1, .workers = options_.workers, .row_shape = options_.row_shape, .outputs = options_.outputs});
  }

  /// The float model in every engine there is; the fastest is what INT8 must beat.
  void open_float() {
    steps_.time("float", [&] {
      for (const auto engine : {EngineKind::onnxruntime, EngineKind::openvino}) {
        if (!engine_status(engine).available || !engine_reads(engine, options_.model)) continue;
        auto session = open_model(engine, options_.model);
        if (!float_) {
          float_ = std::move(session);
          continue;
        }
        if (measure_latency(*float_, *session, options_.certification, 2).ratio > 1) {
          float_ = std::move(session);
          float_engine_ = engine;
        }
      }
      reference_ = reference_of(*float_, options_);
      trial_windows_ = trial_windows(*float_, options_, kTrialWindows);
    });
    steps_.say(fmt::format("float      {} is the faster engine for FP32", to_string(float_engine_)));
  }

  Finished for_target(EngineKind target) {
    Workbench bench(options_, target, graph_, selection_, statistics_, constants_, trial_windows_, folder_.path());
    Certificate certificate = new_certificate(target);
    const auto units = find_units(graph_, selection_, kMostUnits);
    const auto choice = steps_.time("observers", [&] {
      return choose_observers(bench, find_units(graph_, selection_, kMostObserverUnits), options_.observer);
    });
    certificate.observer = choice.observer;
    certificate.unit_observers = choice.units;
    steps_.say(fmt::format("observers  {}{}: {:.1f} dB", to_string(choice.observer), others_text(choice),
                           -10 * std::log10(choice.noise)));
    auto trial = bench.build(bench.all_products());
    std::map<std::string, std::string> returned;
    const auto effects = steps_.time("choose", [&] { return measure_units(bench, trial, units); });
    for (const auto& effect : effects) {
      certificate.blocks.push_back({effect.unit.products, effect.time_ratio, effect.noise_saved / choice.noise});
    }
    return_slower(bench, trial, effects, returned);
    certify(bench, trial, effects, returned, certificate);
    steps_.time("profile", [&] {
      const auto prepared = folder_.path() / "prepared.onnx";  // its nodes have the names of the INT8 model's
      graph_.save_scratch(prepared);
      fill_products(bench, trial, prepared, returned, certificate);
    });
    learn_probe(*trial.session, certificate);
    judge(certificate);
    steps_.say(fmt::format("{:<10} {}", to_string(target), certificate.verdict));
    return {std::move(certificate), std::move(trial.graph)};
  }

  Certificate new_certificate(EngineKind target) const {
    const auto cpu = cpu_info();
    Certificate certificate;
    certificate.engine = target;
    certificate.fp32_engine = float_engine_;
    certificate.isa = options_.isa;
    certificate.cpu = cpu.model;
    certificate.integer_path = cpu.integer_path;
    certificate.calibration_windows = options_.calibration.count;
    certificate.certification_windows = options_.certification.count;
    certificate.max_drop = options_.max_drop;
    certificate.narrowed_channels = narrowed_;
    return certificate;
  }

  static void take_back(const UnitEffect& effect, const std::string& why, ProductNames& integer,
                        std::map<std::string, std::string>& returned) {
    for (const auto& product : effect.unit.products) {
      integer.erase(product);
      returned[product] = why;
    }
  }

  /// Units are measured one at a time; whether returning all of them helps is measured once more.
  void return_slower(Workbench& bench, Trial& trial, const std::vector<UnitEffect>& effects,
                     std::map<std::string, std::string>& returned) {
    const auto slower = slower_units(effects);
    if (slower.empty()) return;
    steps_.time("choose", [&] {
      auto integer = trial.integer;
      std::map<std::string, std::string> reasons;
      for (const auto* effect : slower) {
        take_back(*effect, fmt::format("returned: the network is {:.2f}x as fast with its block in float", effect->time_ratio),
                  integer, reasons);
      }
      if (integer.empty()) return;
      auto faster = bench.build(integer);
      if (measure_latency(*trial.session, *faster.session, trial_windows_.rows, 1).ratio < 1) return;
      steps_.say(fmt::format("choose     {} products return to float: slower as INT8", reasons.size()));
      trial = std::move(faster);
      returned = std::move(reasons);
    });
  }

  /// Compares, and returns layers until the limit is kept or nothing is left to win.
  void certify(Workbench& bench, Trial& trial, const std::vector<UnitEffect>& effects,
               std::map<std::string, std::string>& returned, Certificate& certificate) {
    steps_.time("certify", [&] {
      compare(*trial.session, reference_, options_, certificate);
      certificate.speed = measure_latency(*float_, *trial.session, options_.certification, 4);
      for (const auto* effect : by_harm(effects)) {
        if (certificate.drop <= certificate.max_drop || certificate.speed.ratio < 1) break;
        auto integer = trial.integer;
        take_back(*effect, "returned: its share of the error for the time it saves was the largest", integer, returned);
        if (integer.empty()) break;
        trial = bench.build(integer);
        compare(*trial.session, reference_, options_, certificate);
        certificate.speed = measure_latency(*float_, *trial.session, options_.certification, 1);
        steps_.say(fmt::format("choose     {} products in float, drop {:.4f}", returned.size(), certificate.drop));
      }
      certificate.speed = measure_latency(*float_, *trial.session, options_.certification, 4);
      measure_throughput(*float_, *trial.session, options_.certification, options_.workers, 4, certificate.speed);
    });
  }

  /// What later starts compare themselves with: this model's own answer, since FP32's is not what it gives.
  void learn_probe(Session& session, Certificate& certificate) const {
    const auto input = probe_input(element_count(options_.row_shape));
    const WindowRows probe{1, [&](std::int64_t, std::span<float> row) { std::ranges::copy(input, row.begin()); }};
    certificate.probe_output = outputs_of(session, probe, 1)[0];
    const auto exact = outputs_of(*float_, probe, 1)[0];
    double difference = 0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      difference =
          std::max(difference, std::abs(static_cast<double>(exact[i]) - static_cast<double>(certificate.probe_output[i])));
    }
    // Another CPU rounds some sum the other way, and a step of 1/255 may grow on its way: as large as the error itself.
    certificate.probe_tolerance = 1e-2 + 2 * difference;
  }

  void finish(Finished& finished) {
    auto& certificate = finished.certificate;
    certificate.step_s = seconds_;
    const Verdict verdict{certificate.keep_fp32,
                          certificate.engine,
                          certificate.cpu,
                          certificate.integer_path,
                          options_.model.filename().string(),
                          file_hash(options_.model),
                          certificate.verdict};
    finished.graph.set_metadata(kCertificateKey, verdict_json(verdict));
    finished.graph.rest.set_producer_name("whimbrel");
    const auto checked = folder_.path() / options_.output.filename();
    finished.graph.save_scratch(checked);
    open_model(certificate.engine, checked);  // what is written is what an engine has accepted
    finished.graph.save(options_.output);
  }

  const QuantizeOptions& options_;
  WorkFolder folder_;
  std::map<std::string, double> seconds_;
  StepClock steps_;
  Graph graph_;
  Selection selection_;
  Statistics statistics_;
  std::map<std::string, ProductConstants> constants_;
  std::int64_t narrowed_ = 0;
  std::unique_ptr<Session> float_;
  EngineKind float_engine_ = EngineKind::onnxruntime;
  Reference reference_;
  TrialWindows trial_windows_;
};

}  // namespace
}  // namespace quantize

std::string_view to_string(Observer observer) {
  switch (observer) {
    case Observer::minmax:
      return "minmax";
    case Observer::percentile:
      return "percentile";
    case Observer::entropy:
      return "entropy";
    case Observer::mse:
      return "mse";
  }
  return "mse";
}

std::string_view to_string(QuantizeIsa isa) {
  switch (isa) {
    case QuantizeIsa::native:
      return "native";
    case QuantizeIsa::avx2:
      return "avx2";
    case QuantizeIsa::vnni:
      return "vnni";
  }
  return "native";
}

Certificate quantize_model(const QuantizeOptions& options) { return quantize::Quantizer(options).run(); }

}  // namespace whimbrel
