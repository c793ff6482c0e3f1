#include "pipeline/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace whimbrel {
namespace {

/// Batches to try. One window at a time keeps activations in the cache, which is what most convolutional networks like best on
/// one thread; some with large weights or small activations gain from sharing the weights over a few windows.
constexpr int kDefaultBatch = 1;
constexpr int kOtherBatch = 4;

/// A trial may take so long, and no more than this share of what the run is expected to take: what it can hope to save.
constexpr double kTrial_s = 2.0;
constexpr double kTrialShare = 0.1;
/// One measurement: long enough for a few inferences of a small network on every worker.
constexpr double kMeasure_s = 0.15;

std::vector<std::string> engine_words() {
  std::vector<std::string> words = {"auto"};
  for (const auto kind : all_engines()) words.emplace_back(to_string(kind));
  return words;
}

/// Engines to consider for a model, best first. @throws Error{invalid_argument}, Error{unsupported}
std::vector<EngineKind> candidates_for(const Manifest& manifest, const std::string& engine) {
  if (engine != "auto") {
    if (const auto kind = engine_from_string(engine)) return {*kind};
    const auto words = engine_words();
    const auto close = closest_word(engine, words);
    throw Error(ErrorCode::invalid_argument, fmt::format("engine \"{}\", expected one of {}{}", engine, fmt::join(words, ", "),
                                                         close.empty() ? "" : "; did you mean " + close + "?"));
  }
  std::vector<EngineKind> readers;
  std::string remedies;
  for (const auto kind : all_engines()) {
    if (!engine_reads(kind, manifest.model_path)) continue;
    const auto status = engine_status(kind);
    if (status.available) {
      readers.push_back(kind);
    } else {
      remedies += fmt::format("; {}: {}", to_string(kind), status.remedy);
    }
  }
  if (readers.empty()) {
    throw Error(ErrorCode::unsupported, fmt::format("{}: no engine here reads this model{}", manifest.model_path.string(),
                                                    remedies.empty() ? ", expected .onnx, .xml or .tflite" : remedies));
  }
  return readers;
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

OpenedModel open_checked(const Manifest& manifest, Setting setting, int workers) {
  SessionOptions options{.batch = setting.batch, .workers = workers, .row_shape = manifest.row_shape()};
  if (!manifest.clip_output.empty()) options.outputs = {manifest.clip_output};
  OpenedModel opened{setting, open_session(setting.engine, manifest.model_path, options), {}};
  check_output(manifest, *opened.session);
  const auto expected = manifest.probe ? std::span<const float>(manifest.probe->output) : std::span<const float>();
  opened.check =
      check_session(*opened.session, expected, manifest.probe ? manifest.probe->tolerance : 0, manifest.path.string());
  return opened;
}

/// Windows a second with all workers at it.
double measure(Session& session, int batch, int workers) {
  std::atomic<std::int64_t> windows{0};
  Clock::time_point begin, end;
  {
    std::vector<std::unique_ptr<Runner>> runners;
    for (int w = 0; w < workers; ++w) runners.push_back(session.make_runner());
    std::vector<std::jthread> threads;
    begin = Clock::now();
    for (auto& runner : runners) {
      threads.emplace_back([&] {
        do {
          runner->run();
          windows += batch;
        } while (seconds_between(begin, Clock::now()) < kMeasure_s);
      });
    }
    threads.clear();  // joins
    end = Clock::now();
  }
  return static_cast<double>(windows) / seconds_between(begin, end);
}

/// What else could be faster than `first`, the most promising first.
std::vector<Setting> rivals_of(Setting first, const std::vector<EngineKind>& engines, bool batch_is_free) {
  std::vector<Setting> rivals;
  for (const auto engine : engines) {
    if (engine != first.engine) rivals.push_back({engine, first.batch});
  }
  if (batch_is_free) {
    for (const auto engine : engines) rivals.push_back({engine, kOtherBatch});
  }
  return rivals;
}

}  // namespace

OpenedModel open_best(const Manifest& manifest, const std::string& engine, int batch, int workers, double expected_windows) {
  const auto engines = candidates_for(manifest, engine);
  const auto begin = Clock::now();
  auto best = open_checked(manifest, {engines.front(), batch > 0 ? batch : kDefaultBatch}, workers);
  const auto rivals = rivals_of(best.setting, engines, batch == 0);
  if (rivals.empty()) return best;
  const auto opened = Clock::now();
  const double open_s = seconds_between(begin, opened);
  double best_rate = measure(*best.session, best.setting.batch, workers);
  const double allowed_s = std::min(kTrial_s, kTrialShare * expected_windows / best_rate);
  for (const auto& setting : rivals) {
    if (seconds_between(opened, Clock::now()) + open_s + kMeasure_s > allowed_s) break;
    auto rival = open_checked(manifest, setting, workers);
    const double rate = measure(*rival.session, setting.batch, workers);
    log(LogLevel::debug, fmt::format("{} batch {}: {:.1f} windows/s; {} batch {}: {:.1f}", to_string(setting.engine),
                                     setting.batch, rate, to_string(best.setting.engine), best.setting.batch, best_rate));
    if (rate <= best_rate) continue;
    best = std::move(rival);
    best_rate = rate;
  }
  return best;
}

}  // namespace whimbrel
