#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <memory>

#include "pipeline/inputs.h"
#include "pipeline/run.h"
#include "pipeline/run_record.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

/// So that an output folder that cannot be used is told at once and not after hours.
void prepare_folder(const fs::path& folder) {
  if (folder.empty()) throw Error(ErrorCode::invalid_argument, "no output folder given, expected --out");
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error && !fs::is_directory(folder)) error = std::make_error_code(std::errc::not_a_directory);
  if (!error && ::access(folder.c_str(), W_OK | X_OK) != 0) error = {errno, std::generic_category()};
  if (!error) return;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: {}, expected a folder that results can be written to; choose another --out", folder.string(),
                          error.message()));
}

constexpr double kLongestBudget_s = 366.0 * 24 * 3600;
constexpr double kLatestStart = 0.8;     // of the budget: what is left would not even do for writing
constexpr double kEstimateShare = 0.05;  // of the budget, at most, for learning how long the recordings are

std::vector<BudgetMember> budget_members(const Ensemble& ensemble) {
  std::vector<BudgetMember> members;
  for (std::size_t m = 0; m < ensemble.members.size(); ++m) {
    const auto& member = ensemble.members[m];
    const bool gate = ensemble.cascade && m == ensemble.cascade->gate;
    members.push_back({.gain = member.gain,
                       .cost_s = member.cost_s,
                       .keep = gate || member.required(),
                       .gated = ensemble.gated(m),
                       .closed = member.session == nullptr});
  }
  return members;
}

std::unique_ptr<Budget> make_budget(const PredictOptions& options, const Ensemble& ensemble, const Workload& workload,
                                    int workers) {
  const auto deadline =
      process_start() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options.budget_s));
  // Ranks are sorted at the end, member by member.
  const std::size_t values = ensemble.layout.size() * (ensemble.mean == Mean::rank ? 1 + ensemble.members.size() : 1);
  auto budget = std::make_unique<Budget>(process_start(), deadline, budget_members(ensemble), workers, workload.total, values);
  const double elapsed_s = seconds_between(process_start(), Clock::now());
  if (elapsed_s < kLatestStart * options.budget_s) return budget;
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format("--budget {:.3g} s: start-up alone took {:.2f} s, and writing needs some time too; give more time, or "
                  "fewer and smaller models",
                  options.budget_s, elapsed_s));
}

void check_budget(const PredictOptions& options) {
  if (options.budget_s >= 0 && std::isfinite(options.budget_s) && options.budget_s < kLongestBudget_s) return;
  throw Error(ErrorCode::invalid_argument, fmt::format("budget of {} s, expected above 0 and below a year", options.budget_s));
}

}  // namespace

std::string_view to_string(RecordingState state) {
  switch (state) {
    case RecordingState::done:
      return "done";
    case RecordingState::partial:
      return "partial";
    case RecordingState::failed:
      return "failed";
    case RecordingState::cancelled:
      return "cancelled";
  }
  return "failed";
}

std::size_t PredictResult::count(RecordingState state) const {
  return static_cast<std::size_t>(
      std::count_if(recordings.begin(), recordings.end(), [&](const auto& r) { return r.state == state; }));
}

PredictResult predict(const PredictOptions& options) {
  check_budget(options);
  PredictResult result;
  result.workers = options.threads > 0 ? options.threads : cpu_info().cores_allowed;
  auto ensemble = load_ensemble(options);
  const auto post = result.post = resolve_post_process(ensemble.members[0].manifest, options);
  ensemble.wants_frames = post.events.has_value();
  ensemble.wants_embeddings = options.embeddings;
  auto names = shard(find_recordings(options.inputs), options.shard_index, options.shard_count);
  prepare_folder(options.out_dir);
  ResultWriter writer(options, ensemble.labels, ensemble.grids[0], post);
  writer.check_recordings(names);
  open_sessions(ensemble, options, result.workers);
  add_shifts(ensemble, post.tta_shifts_s);
  Workload workload;
  std::unique_ptr<Budget> budget;
  if (options.budget_s > 0) {
    workload = estimate_workload(names, ensemble.grids[0], result.workers, kEstimateShare * options.budget_s);
    budget = make_budget(options, ensemble, workload, result.workers);
  }
  result.stages.start_s = seconds_between(process_start(), Clock::now());

  Run run(options, ensemble, std::move(names), writer, result.workers, budget.get(), std::move(workload));
  run.run();
  run.fill(result);
  result.members = describe_members(ensemble);
  result.wall_s = seconds_between(process_start(), Clock::now());
  result.cpu_s = process_cpu_s();
  result.peak_rss_bytes = peak_rss_bytes();
  result.files.push_back(write_run_record(options, result));
  return result;
}

}  // namespace whimbrel
