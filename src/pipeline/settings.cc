#include "pipeline/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "pipeline/forms.h"
#include "pipeline/trials.h"
#include "pipeline/tuning.h"
#include "whimbrel/quantize.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

/// One window at a time keeps activations in the cache, which is what convolutional networks like best on one thread:
/// tf_efficientnet_b0 costs 20 % more a window in batches of 8.
constexpr int kDefaultBatch = 1;
/// What a short search compares it with: the one of those between 1 and 16 that wins most often where 1 does not.
constexpr int kOtherBatch = 4;

std::vector<std::string> engine_words() {
  std::vector<std::string> words = {"auto"};
  for (const auto kind : all_engines()) words.emplace_back(to_string(kind));
  return words;
}

/// What a run opens.
struct Choice {
  EngineKind engine = EngineKind::onnxruntime;
  fs::path model;
  bool engine_is_fixed = false;
};

/// @throws Error{invalid_argument}
EngineKind named_engine(const std::string& engine) {
  if (const auto kind = engine_from_string(engine)) return *kind;
  const auto words = engine_words();
  const auto close = closest_word(engine, words);
  throw Error(ErrorCode::invalid_argument, fmt::format("engine \"{}\", expected one of {}{}", engine, fmt::join(words, ", "),
                                                       close.empty() ? "" : "; did you mean " + close + "?"));
}

/// @throws Error{unsupported}
EngineKind first_engine(const fs::path& model) {
  std::string remedies;
  for (const auto kind : all_engines()) {
    if (!engine_reads(kind, model)) continue;
    const auto status = engine_status(kind);
    if (status.available) return kind;
    remedies += fmt::format("; {}: {}", to_string(kind), status.remedy);
  }
  throw Error(ErrorCode::unsupported, fmt::format("{}: no engine here reads this model{}", model.string(),
                                                  remedies.empty() ? ", expected .onnx, .xml, .tflite or .pt" : remedies));
}

/// A certificate's word on which model to run. It was measured on one CPU and binds on no other.
Choice by_verdict(const fs::path& model, const Verdict& verdict, EngineKind reader) {
  const auto cpu = cpu_info();
  const bool binds = verdict.cpu == cpu.model && verdict.integer_path == cpu.integer_path;
  if (binds && verdict.keep_fp32) {
    if (const auto source = source_beside(model, verdict)) {
      log(LogLevel::info,
          fmt::format("{}: its certificate says {}; running {}", model.string(), verdict.words, source->filename().string()));
      return {first_engine(*source), *source, false};
    }
    log(LogLevel::warning, fmt::format("{}: its certificate says {}; but {} does not lie beside it, so INT8 runs",
                                       model.string(), verdict.words, verdict.source));
  }
  const bool runs = engine_reads(verdict.engine, model) && engine_status(verdict.engine).available;
  return {runs ? verdict.engine : reader, model, true};
}

Choice choose(const fs::path& model, const std::string& engine) {
  if (engine != "auto") return {named_engine(engine), model, true};
  const auto reader = first_engine(model);
  const auto verdict = verdict_of(reader, model);
  return verdict ? by_verdict(model, *verdict, reader) : Choice{reader, model, false};
}

void check_output(const Manifest& manifest, const Session& session) {
  const auto& output = session.outputs().at(0);
  const auto classes = static_cast<std::int64_t>(manifest.labels.size());
  if (output.shape.size() == 2 && output.shape[1] == classes) return;
  throw Error(
      ErrorCode::bad_manifest,
      fmt::format("{}: output \"{}\" is {}, expected [batch, {}] for the {} labels of {}; give the right labels file or name "
                  "another output as output.clip",
                  manifest.model_path.string(), output.name, to_string(output.shape), classes, classes,
                  manifest.path.string()));
}

/// Seconds of one window. The first run of a runner may still set something up.
double timed_run_s(Runner& runner, int batch) {
  const auto begin = Clock::now();
  runner.run();
  return seconds_between(begin, Clock::now()) / batch;
}

OpenedModel open_with(const Manifest& manifest, const OpenRequest& request, const fs::path& model, const Setting& setting) {
  const SessionOptions options{
      .batch = setting.batch, .workers = request.workers, .row_shape = manifest.row_shape(), .outputs = request.outputs};
  OpenedModel opened{setting, model, open_session(setting.engine, model, options), {}};
  check_output(manifest, *opened.session);
  const auto expected = manifest.probe ? std::span<const float>(manifest.probe->output) : std::span<const float>();
  opened.check =
      check_session(*opened.session, expected, manifest.probe ? manifest.probe->tolerance : 0, manifest.path.string());
  const auto runner = opened.session->make_runner();
  std::ranges::copy(probe_input(std::ssize(runner->input())), runner->input().begin());
  opened.cost_s = timed_run_s(*runner, setting.batch);
  opened.cost_s = std::min(opened.cost_s, timed_run_s(*runner, setting.batch));
  return opened;
}

/// The first of the settings, which come best first, that the request allows. A batch that was named and never measured runs in
/// the engine of the best one.
std::optional<Setting> known_setting(const std::vector<TunedSetting>& settings, const Choice& choice, int batch) {
  const auto allowed = [&](const TunedSetting& s) { return !choice.engine_is_fixed || s.engine == choice.engine; };
  std::optional<Setting> best;
  for (const auto& s : settings) {
    if (!allowed(s)) continue;
    if (batch == 0 || batch == s.batch) return Setting{s.engine, s.batch};
    if (!best) best = Setting{s.engine, batch};
  }
  return best;
}

OpenedModel open_by_trial(const Manifest& manifest, const OpenRequest& request, const fs::path& model) {
  const TrialHooks hooks{[&](const Setting& setting) {
                           Trial trial{open_with(manifest, request, model, setting), {}};
                           std::shared_ptr<Runner> runner = trial.opened.session->make_runner();
                           std::ranges::copy(probe_input(std::ssize(runner->input())), runner->input().begin());
                           trial.run = [runner, batch = setting.batch] { return timed_run_s(*runner, batch); };
                           return trial;
                         },
                         [] { return std::chrono::duration<double>(Clock::now().time_since_epoch()).count(); }};
  const auto batches = request.batch > 0 ? std::vector{request.batch} : std::vector{kDefaultBatch, kOtherBatch};
  auto found = find_setting(engines_that_read(model), batches, request.tuning_s, hooks);
  const auto& setting = found.winner.opened.setting;
  const auto tried = found.settings.size();
  log(LogLevel::info, fmt::format("{}: {} with batch {}, {}; whimbrel bench finds the best setting for all later runs",
                                  model.filename().string(), to_string(setting.engine), setting.batch,
                                  tried == 1 ? "without time to try another" : fmt::format("the best of {} tried", tried)));
  // Also where nothing else could be tried: the next run should give the same bits.
  store_settings(model, manifest.row_shape(), found.settings, Tuned::quick, request.batch);
  return std::move(found.winner.opened);
}

}  // namespace

OpenedModel open_best(const Manifest& manifest, const OpenRequest& request) {
  const auto choice = choose(manifest.model_path, request.engine);
  const Setting plain{choice.engine, request.batch > 0 ? request.batch : kDefaultBatch};
  if (request.engine != "auto") return open_with(manifest, request, choice.model, plain);
  if (request.earlier && engine_reads(request.earlier->engine, choice.model) &&
      engine_status(request.earlier->engine).available) {
    return open_with(manifest, request, choice.model, *request.earlier);
  }
  const auto known = known_setting(find_settings(choice.model, manifest.row_shape(), request.batch), choice, request.batch);
  if (known) return open_with(manifest, request, choice.model, *known);
  if (choice.engine_is_fixed || request.tuning_s <= 0) return open_with(manifest, request, choice.model, plain);
  return open_by_trial(manifest, request, choice.model);
}

}  // namespace whimbrel
