#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "pipeline/ensemble.h"
#include "pipeline/memory.h"
#include "pipeline/settings.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

constexpr double kTuning_s = 2;         // for a model that runs here for the first time
constexpr double kTuningShare = 0.02;   // of a time budget, for all models together
constexpr double kGainOfShift = 0.1;    // an augmented copy is dropped before any model is
constexpr double kCostOfByte_s = 1e-9;  // networks of this field: 20 MB take about 20 ms a window
constexpr double kMostOfBudgetToStart = 0.4;
/// Whatever a model's size, opening it takes as long as so many bytes of weights more: ONNX Runtime opened the smallest of
/// eight networks in 40 ms and took 6 ms for each MB of the others, of up to 211 MB; OpenVINO 70 ms and 6 ms.
constexpr double kBytesOfAnyModel = 8e6;

/// The member whose embeddings are written: the first that has some and scores every window.
/// @throws Error{invalid_argument} without one
std::size_t embedding_member(const Ensemble& ensemble) {
  for (std::size_t m = 0; m < ensemble.members.size(); ++m) {
    if (!ensemble.gated(m) && !ensemble.members[m].manifest.embedding_output.empty()) return m;
  }
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: no model of the run has embeddings, expected output.embedding in the manifest",
                          ensemble.members[0].manifest.path.string()));
}

/// @throws Error{invalid_argument} where no member that scores every window has frame-wise output
void check_frames(const Ensemble& ensemble) {
  for (std::size_t m = 0; m < ensemble.members.size(); ++m) {
    if (!ensemble.gated(m) && !ensemble.members[m].manifest.frame_output.empty()) return;
  }
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: no model of the run has frame-wise output, expected output.frame in the manifest",
                          ensemble.members[0].manifest.path.string()));
}

std::vector<std::string> outputs_wanted(const Ensemble& ensemble, std::size_t index) {
  const auto& manifest = ensemble.members[index].manifest;
  std::vector<std::string> outputs;
  if (!manifest.clip_output.empty()) outputs.push_back(manifest.clip_output);
  if (ensemble.wants_frames && !manifest.frame_output.empty()) outputs.push_back(manifest.frame_output);
  if (ensemble.wants_embeddings && index == embedding_member(ensemble)) outputs.push_back(manifest.embedding_output);
  if (outputs.empty() || !manifest.clip_output.empty()) return outputs;
  throw Error(ErrorCode::bad_manifest,
              fmt::format("{}: output.clip is not named, expected it beside output.frame and output.embedding",
                          manifest.path.string()));
}

/// Learns the shapes of a member's outputs beside the scores.
/// @throws Error{bad_manifest} where they are not what the manifest says, or not as other members' are
void note_outputs(Ensemble& ensemble, Member& member) {
  const auto& manifest = member.manifest;
  auto& layout = ensemble.layout;
  for (const auto& output : member.session->outputs()) {
    const auto& shape = output.shape;
    const auto refuse = [&](const std::string& expected) -> Error {
      return Error(ErrorCode::bad_manifest, fmt::format("{}: output \"{}\" is {}, expected {}", manifest.model_path.string(),
                                                        output.name, to_string(shape), expected));
    };
    if (ensemble.wants_frames && output.name == manifest.frame_output) {
      const bool last = manifest.frame_axis == FrameAxis::class_last;
      if (shape.size() != 3 || shape[last ? 2 : 1] != static_cast<std::int64_t>(layout.classes)) {
        throw refuse(fmt::format("{} with {} classes; check output.frame_axis",
                                 last ? "[batch, frames, classes]" : "[batch, classes, frames]", layout.classes));
      }
      member.frames = static_cast<std::size_t>(shape[last ? 1 : 2]);
      if (layout.frames != 0 && layout.frames != member.frames)
        throw refuse(fmt::format("{} frames as the members before it", layout.frames));
      layout.frames = member.frames;
    } else if (ensemble.wants_embeddings && output.name == manifest.embedding_output) {
      if (shape.size() != 2) throw refuse("[batch, length]");
      layout.embedding = member.embedding = static_cast<std::size_t>(shape[1]);
    }
  }
}

/// Of the model file, at least 1.
double bytes_of(const Member& member) {
  std::error_code unknown;
  const auto bytes = std::filesystem::file_size(member.manifest.model_path, unknown);
  return unknown ? 1 : std::max(1.0, static_cast<double>(bytes));
}

/// Nothing could be written without it: no other open member has what it gives.
bool is_needed(const Ensemble& ensemble, std::size_t m) {
  const bool frames = ensemble.wants_frames && ensemble.layout.frames == 0 && !ensemble.gated(m);
  return (frames && !ensemble.members[m].manifest.frame_output.empty()) ||
         (ensemble.wants_embeddings && m == embedding_member(ensemble));
}

/// Members in the order in which a time budget wants them opened: most gain per second first, small files before large ones
/// where the cost is not known yet.
std::vector<std::size_t> opening_order(const Ensemble& ensemble) {
  std::vector<double> value;
  for (const auto& member : ensemble.members) {
    value.push_back(member.gain / (member.cost_s > 0 ? member.cost_s : bytes_of(member) * kCostOfByte_s));
  }
  std::vector<std::size_t> order(value.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return value[a] > value[b]; });
  const auto first = [&](std::size_t m) {
    if (ensemble.cascade) return m == ensemble.cascade->gate;
    return (ensemble.wants_frames && !ensemble.members[m].manifest.frame_output.empty()) ||
           (ensemble.wants_embeddings && m == embedding_member(ensemble));
  };
  std::ranges::stable_partition(order, first);
  return order;
}

OpenRequest request_for(const Ensemble& ensemble, std::size_t index, const PredictOptions& options, int workers) {
  OpenRequest request{.engine = options.engine, .batch = options.batch, .workers = workers};
  if (!options.members.empty()) {
    const auto& settings = options.members[index];
    if (!settings.engine.empty() && options.engine == "auto") request.engine = settings.engine;
    if (options.batch == 0) request.batch = settings.batch;
  }
  request.earlier = ensemble.members[index].earlier;
  request.outputs = outputs_wanted(ensemble, index);
  request.tuning_s = kTuning_s;
  if (options.budget_s > 0) {
    request.tuning_s = std::min(kTuning_s, options.budget_s * kTuningShare / static_cast<double>(ensemble.members.size()));
  }
  return request;
}

void open_member(Ensemble& ensemble, std::size_t index, const PredictOptions& options, int workers) {
  auto& member = ensemble.members[index];
  auto request = request_for(ensemble, index, options, workers);
  auto opened = open_best(member.manifest, request);
  if (!opened.check.rows_independent && (options.budget_s > 0 || ensemble.cascade)) {
    // Which windows meet in a batch would then depend on timing.
    request.batch = 1;
    request.earlier.reset();
    request.engine = to_string(opened.setting.engine);
    opened = open_best(member.manifest, request);
  }
  member.engine = opened.setting.engine;
  member.batch = opened.setting.batch;
  member.manifest.model_path = opened.model_path;
  member.session = std::move(opened.session);
  member.check = opened.check;
  if (member.cost_s == 0) member.cost_s = opened.cost_s;
  member.hash = file_hash(member.manifest.model_path);
  note_outputs(ensemble, member);
}

}  // namespace

void open_sessions(Ensemble& ensemble, const PredictOptions& options, int workers) {
  if (ensemble.wants_frames) check_frames(ensemble);
  double open_s = 0;  // of all so far
  double bytes = 0;
  for (const auto m : opening_order(ensemble)) {
    const bool needed = bytes == 0 || is_needed(ensemble, m);
    const auto begin = Clock::now();
    const double elapsed_s = seconds_between(options.start, begin);
    auto& member = ensemble.members[m];
    const double own_bytes = kBytesOfAnyModel + bytes_of(member);
    const double expected_s = needed ? 0 : elapsed_s + open_s * own_bytes / bytes;
    if (!needed && options.budget_s > 0 && expected_s > options.budget_s * kMostOfBudgetToStart) {
      log(LogLevel::warning,
          fmt::format("{}: left out, as opening it would end {:.1f} s after the start, of a budget of {:.1f} s",
                      member.manifest.name, expected_s, options.budget_s));
      continue;
    }
    open_member(ensemble, m, options, workers);
    check_memory(options.max_memory_bytes, "after opening " + member.manifest.model_path.string());
    open_s += seconds_between(begin, Clock::now());
    bytes += own_bytes;
  }
}

void add_shifts(Ensemble& ensemble, const std::vector<double>& shifts_s) {
  const std::size_t count = ensemble.members.size();
  for (std::size_t m = 0; m < count; ++m) {
    ensemble.members[m].weight /= 1 + static_cast<double>(shifts_s.size());
    for (const double shift_s : shifts_s) {
      Member copy = ensemble.members[m];
      auto spec = ensemble.front_ends[copy.front_end];
      spec.shift_samples = std::llround(shift_s * copy.manifest.sample_rate_hz);
      copy.shift_s = shift_s;
      copy.gain *= kGainOfShift;
      copy.frames = copy.embedding = 0;  // those of windows that are where they seem to be
      copy.front_end = position_in(ensemble.front_ends, spec);
      ensemble.members.push_back(std::move(copy));
    }
  }
}

}  // namespace whimbrel
