#include "pipeline/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>
#include <vector>

#include "whimbrel/io.h"
#include "whimbrel/quantize.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

/// One window at a time keeps activations in the cache, which is what convolutional networks like best on one thread:
/// tf_efficientnet_b0 costs 20 % more a window in batches of 8.
constexpr int kDefaultBatch = 1;

std::vector<std::string> engine_words() {
  std::vector<std::string> words = {"auto"};
  for (const auto kind : all_engines()) words.emplace_back(to_string(kind));
  return words;
}

/// What a run opens.
struct Choice {
  EngineKind engine = EngineKind::onnxruntime;
  fs::path model;
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

/// The float model that an INT8 one was made from, if it lies beside it unchanged.
std::optional<fs::path> source_beside(const fs::path& model, const Verdict& verdict) {
  const auto source = model.parent_path() / fs::path(verdict.source).filename();
  std::error_code ignored;
  if (verdict.source.empty() || !fs::is_regular_file(source, ignored)) return std::nullopt;
  return file_hash(source) == verdict.source_hash ? std::optional(source) : std::nullopt;
}

/// A certificate's word on which model to run. It was measured on one CPU and binds on no other.
Choice by_verdict(const fs::path& model, const Verdict& verdict, EngineKind reader) {
  const auto cpu = cpu_info();
  const bool binds = verdict.cpu == cpu.model && verdict.integer_path == cpu.integer_path;
  if (binds && verdict.keep_fp32) {
    if (const auto source = source_beside(model, verdict)) {
      log(LogLevel::info,
          fmt::format("{}: its certificate says {}; running {}", model.string(), verdict.words, source->filename().string()));
      return {first_engine(*source), *source};
    }
    log(LogLevel::warning, fmt::format("{}: its certificate says {}; but {} does not lie beside it, so INT8 runs",
                                       model.string(), verdict.words, verdict.source));
  }
  const bool runs = engine_reads(verdict.engine, model) && engine_status(verdict.engine).available;
  return {runs ? verdict.engine : reader, model};
}

Choice choose(const fs::path& model, const std::string& engine) {
  if (engine != "auto") return {named_engine(engine), model};
  const auto reader = first_engine(model);
  const auto verdict = parse_verdict(model_remark(reader, model, kCertificateKey));
  return verdict ? by_verdict(model, *verdict, reader) : Choice{reader, model};
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

}  // namespace

OpenedModel open_best(const Manifest& manifest, const OpenRequest& request) {
  const auto choice = choose(manifest.model_path, request.engine);
  const Setting setting{choice.engine, request.batch > 0 ? request.batch : kDefaultBatch};
  const SessionOptions options{
      .batch = setting.batch, .workers = request.workers, .row_shape = manifest.row_shape(), .outputs = request.outputs};
  OpenedModel opened{setting, choice.model, open_session(setting.engine, choice.model, options), {}};
  check_output(manifest, *opened.session);
  const auto expected = manifest.probe ? std::span<const float>(manifest.probe->output) : std::span<const float>();
  opened.check =
      check_session(*opened.session, expected, manifest.probe ? manifest.probe->tolerance : 0, manifest.path.string());
  return opened;
}

}  // namespace whimbrel
