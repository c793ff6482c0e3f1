#include "plan/measure.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <system_error>

#include "whimbrel/io.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

/// A run shorter than this is repeated: the start and the end, where workers wait, weigh too much in it.
constexpr double kShortRun_s = 5;

struct TimedRun {
  PredictResult result;
  double running_s = 0;
  double startup_s = 0;
};

TimedRun timed_run(const PlanOptions& options, PredictOptions run, const fs::path& folder) {
  run.inputs = options.validation;
  run.out_dir = folder;
  run.formats = {"npy"};
  run.on_progress = options.on_progress;
  run.cancel = options.cancel;
  const auto begin = Clock::now();
  TimedRun timed{.result = predict(run)};
  const double all_s = seconds_between(begin, Clock::now());
  if (timed.result.cancelled) throw Error(ErrorCode::cancelled, "stopped while measuring; no plan was written");
  // predict() counts its start from that of the process, which was not in this call.
  timed.running_s = timed.result.wall_s - timed.result.stages.start_s;
  timed.startup_s = std::max(0.0, all_s - timed.running_s);
  return timed;
}

void require_all_read(const PredictResult& result) {
  const auto done = result.count(RecordingState::done);
  if (done == result.recordings.size()) return;
  const auto bad = std::ranges::find_if(result.recordings, [](const auto& r) { return r.state != RecordingState::done; });
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format("{} of {} validation recordings cannot be used, first {}: {}; leave them out, with their rows of the truth",
                  result.recordings.size() - done, result.recordings.size(), bad->path.string(), bad->error));
}

/// "12", "12.5"
std::string end_text(const std::string& seconds) {
  double value = 0;
  std::from_chars(seconds.data(), seconds.data() + seconds.size(), value);
  return fmt::format("{}", value);
}

ValidationRows read_rows(const fs::path& index) {
  const auto table = read_csv(index, ',', std::int64_t{1} << 30);
  const std::size_t file = table.column("file"), end = table.column("end_s");
  ValidationRows rows;
  std::string last;
  std::set<std::string> stems;
  std::size_t recording = 0;
  for (const auto& row : table.rows) {
    const auto stem = fs::path(row[file]).stem().string();
    if (rows.ids.empty() || row[file] != last) {
      if (!stems.insert(stem).second) {
        throw Error(
            ErrorCode::invalid_argument,
            fmt::format("{}: a second validation recording named \"{}\", expected each name once, as the truth names rows by "
                        "it; rename one",
                        row[file], stem));
      }
      recording += rows.ids.empty() ? 0 : 1;
      last = row[file];
    }
    rows.ids.push_back(stem + "_" + end_text(row[end]));
    rows.recordings.push_back(recording);
  }
  return rows;
}

void require_same_rows(const PlanForm& form, const ValidationRows& expected, const ValidationRows& found) {
  if (expected.ids == found.ids) return;
  throw Error(
      ErrorCode::bad_manifest,
      fmt::format("{}: {} windows of the validation recordings where the first model has {}, expected the same: models of a "
                  "plan need the same input.window_s, input.hop_s and input.min_signal",
                  form.reference.string(), found.ids.size(), expected.ids.size()));
}

void keep_lower(double& value, double other) { value = std::min(value, other); }

void set_costs(MeasuredModel& model, const TimedRun& run, bool first) {
  const auto windows = static_cast<double>(run.result.windows);
  const auto& stages = run.result.stages;
  const double decode_s = (stages.decode_s + stages.write_s) / windows;
  if (first) {
    model.decode_s = decode_s;
    model.front_end_s = stages.front_end_s / windows;
    model.infer_s = stages.infer_s / windows;
    model.startup_s = run.startup_s;
    return;
  }
  keep_lower(model.startup_s, run.startup_s);  // the first run may have tried settings
  keep_lower(model.decode_s, decode_s);
  keep_lower(model.front_end_s, stages.front_end_s / windows);
  keep_lower(model.infer_s, stages.infer_s / windows);
}

}  // namespace

ScratchFolder::ScratchFolder(const fs::path& output)
    : path_(fs::absolute(output).parent_path() / fmt::format(".{}.{}.tmp", output.filename().string(), ::getpid())) {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) {
    throw Error(ErrorCode::io, fmt::format("{}: {}, expected a folder that can be written to; choose another --output",
                                           path_.parent_path().string(), error.message()));
  }
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

MeasuredModel measure_model(const PlanOptions& options, const PlanForm& form, const ScratchFolder& scratch,
                            ValidationRows& rows) {
  MeasuredModel model{.form = form, .manifest = load_manifest(form.reference)};
  const auto folder = scratch.path() / "model";
  const PredictOptions run{.models = {form.reference}, .engine = form.engine};
  const auto first = timed_run(options, run, folder);
  require_all_read(first.result);
  const auto& member = first.result.members.at(0);
  model.engine = member.engine;
  model.batch = member.batch;
  model.hash = member.model_hash;
  set_costs(model, first, true);
  auto found = read_rows(folder / "scores.index.csv");
  if (rows.ids.empty()) rows = found;
  require_same_rows(form, rows, found);
  model.scores = read_npy(folder / "scores.npy").values;
  if (first.running_s < kShortRun_s) set_costs(model, timed_run(options, run, folder), false);
  return model;
}

MeasuredRun measure_run(const PlanOptions& options, const PredictOptions& run, const ScratchFolder& scratch) {
  const auto folder = scratch.path() / "ensemble";
  const auto first = timed_run(options, run, folder);
  MeasuredRun measured{.startup_s = first.startup_s,
                       .running_s = first.running_s,
                       .windows = first.result.windows,
                       .workers = first.result.workers};
  if (first.running_s >= kShortRun_s) return measured;
  const auto second = timed_run(options, run, folder);
  measured.running_s = (first.running_s + second.running_s) / 2;
  measured.spread = std::abs(first.running_s - second.running_s) / measured.running_s;
  return measured;
}

}  // namespace whimbrel
