#include "pipeline/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

namespace whimbrel {
namespace {

/// One window at a time keeps activations in the cache, which is what convolutional networks like best on one thread:
/// tf_efficientnet_b0 costs 20 % more a window in batches of 8.
constexpr int kDefaultBatch = 1;

std::vector<std::string> engine_words() {
  std::vector<std::string> words = {"auto"};
  for (const auto kind : all_engines()) words.emplace_back(to_string(kind));
  return words;
}

/// @throws Error{invalid_argument}, Error{unsupported}
EngineKind engine_for(const Manifest& manifest, const std::string& engine) {
  if (engine != "auto") {
    if (const auto kind = engine_from_string(engine)) return *kind;
    const auto words = engine_words();
    const auto close = closest_word(engine, words);
    throw Error(ErrorCode::invalid_argument, fmt::format("engine \"{}\", expected one of {}{}", engine, fmt::join(words, ", "),
                                                         close.empty() ? "" : "; did you mean " + close + "?"));
  }
  std::string remedies;
  for (const auto kind : all_engines()) {
    if (!engine_reads(kind, manifest.model_path)) continue;
    const auto status = engine_status(kind);
    if (status.available) return kind;
    remedies += fmt::format("; {}: {}", to_string(kind), status.remedy);
  }
  throw Error(ErrorCode::unsupported, fmt::format("{}: no engine here reads this model{}", manifest.model_path.string(),
                                                  remedies.empty() ? ", expected .onnx, .xml, .tflite or .pt" : remedies));
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

}  // namespace

OpenedModel open_best(const Manifest& manifest, const std::string& engine, int batch, int workers) {
  return open_checked(manifest, {engine_for(manifest, engine), batch > 0 ? batch : kDefaultBatch}, workers);
}

}  // namespace whimbrel
