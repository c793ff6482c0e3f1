#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <utility>

#include "pipeline/desk.h"
#include "pipeline/formats_text.h"
#include "pipeline/inputs.h"
#include "pipeline/memory.h"
#include "pipeline/resume.h"
#include "pipeline/run.h"
#include "pipeline/run_record.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

constexpr double kLongestBudget_s = 366.0 * 24 * 3600;
constexpr double kLatestStart = 0.8;  // of the budget: what is left would not even do for writing
constexpr double kStopWithin_s = 1;
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
      options.start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options.budget_s));
  // Ranks are sorted at the end, member by member.
  const std::size_t values = ensemble.layout.size() * (ensemble.mean == Mean::rank ? 1 + ensemble.members.size() : 1);
  auto budget = std::make_unique<Budget>(options.start, deadline, budget_members(ensemble), workers, workload.total, values);
  const double elapsed_s = seconds_between(options.start, Clock::now());
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

StageTimes& StageTimes::operator+=(const StageTimes& other) {
  start_s += other.start_s;
  decode_s += other.decode_s;
  front_end_s += other.front_end_s;
  infer_s += other.infer_s;
  write_s += other.write_s;
  wait_s += other.wait_s;
  return *this;
}

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

namespace {

/// Loaded, and what is done with its scores; the sessions are opened later, after what is quick to refuse.
struct Setup {
  std::shared_ptr<Ensemble> ensemble;
  PostProcess post;
  int workers = 1;
};

Setup load(const PredictOptions& options) {
  Setup setup{.ensemble = std::make_shared<Ensemble>(load_ensemble(options)),
              .workers = options.threads > 0 ? options.threads : cpu_info().cores_allowed};
  setup.post = resolve_post_process(setup.ensemble->members[0].manifest, options);
  setup.ensemble->wants_frames = setup.post.events.has_value();
  setup.ensemble->wants_embeddings = options.embeddings;
  return setup;
}

/// Models take seconds to load, and a user may want to stop then too.
void open(Setup& setup, const PredictOptions& options) {
  const auto workers = std::make_shared<int>(setup.workers);
  const auto open_all = [ensemble = setup.ensemble, shifts_s = setup.post.tta_shifts_s, options, workers] {
    open_sessions(*ensemble, options, *workers);
    add_shifts(*ensemble, shifts_s);
    if (options.max_memory_bytes > 0) *workers = workers_that_fit(*ensemble, options.max_memory_bytes, *workers);
  };
  call_unless_cancelled(open_all, options.cancel, kStopWithin_s);
  setup.workers = *workers;
}

/// @param cpu_before_s  that other work of this process has used
PredictResult run_over(const std::vector<RecordingName>& names, const Setup& setup, const PredictOptions& options,
                       ResultWriter& writer, Journal& journal, std::vector<const JournaledRecording*> finished,
                       double cpu_before_s) {
  PredictResult result;
  result.workers = setup.workers;
  result.post = setup.post;
  Workload workload;
  std::unique_ptr<Budget> budget;
  if (options.budget_s > 0) {
    workload = estimate_workload(names, setup.ensemble->grids[0], setup.workers, kEstimateShare * options.budget_s);
    budget = make_budget(options, *setup.ensemble, workload, setup.workers);
  }
  result.stages.start_s = seconds_between(options.start, Clock::now());
  Run run(options, setup.ensemble, names, writer, journal, std::move(finished), setup.workers, budget.get(),
          std::move(workload));
  run.run();
  run.fill(result);
  for (const auto& label : setup.ensemble->labels) result.labels.push_back(label.text);
  result.wall_s = seconds_between(options.start, Clock::now());
  result.cpu_s = process_cpu_s() - cpu_before_s;
  result.peak_rss_bytes = peak_rss_bytes();
  return result;
}

}  // namespace

PredictResult predict(const PredictOptions& options) {
  check_budget(options);
  auto setup = load(options);
  const auto names = shard(find_recordings(options.inputs), options.shard_index, options.shard_count);
  prepare_folder(options.out_dir);
  const auto journal = Journal::of_folder(options.out_dir);
  ResultWriter writer(options, setup.ensemble->labels, setup.ensemble->grids[0], setup.post);
  writer.check_recordings(names);
  warn_of_formulas(options.formats, setup.ensemble->labels, names);
  if (options.resume != Resume::off) take_engines(*setup.ensemble, journal->settings());
  open(setup, options);
  auto finished = go_on(*journal, options.resume, run_settings(*setup.ensemble, setup.post.tta_shifts_s),
                        Collector::row_size(*setup.ensemble), names);
  auto result = run_over(names, setup, options, writer, *journal, std::move(finished), 0);
  result.files.push_back(write_run_record(options, result));
  if (result.complete()) journal->remove();
  if (options.absolute_time) warn_of_unknown_times(result.recordings);
  return result;
}

struct Predictor::Impl {
  PredictOptions options;
  Setup setup;
  std::mutex mutex;
};

Predictor::Predictor(PredictOptions options) : impl_(std::make_unique<Impl>()) {
  options.budget_s = 0;
  options.formats.clear();
  std::error_code none;
  options.out_dir = fs::temp_directory_path(none);  // where rows wait for their recording's turn
  if (none) options.out_dir = ".";
  impl_->setup = load(options);
  open(impl_->setup, options);
  impl_->options = std::move(options);
}

Predictor::~Predictor() = default;
const std::vector<Label>& Predictor::labels() const { return impl_->setup.ensemble->labels; }
const WindowGrid& Predictor::grid() const { return impl_->setup.ensemble->grids[0]; }

Prediction Predictor::predict(const PredictRequest& request) {
  const std::lock_guard lock(impl_->mutex);
  Prediction prediction{.labels = labels(), .grid = grid()};
  auto options = impl_->options;
  options.start = Clock::now();
  options.budget_s = request.budget_s;
  options.on_progress = request.on_progress;
  options.cancel = request.cancel;
  options.keep = &prediction;
  check_budget(options);
  std::vector<RecordingName> names;
  if (!request.inputs.empty() || request.samples.empty()) names = find_recordings(request.inputs);
  for (const auto& samples : request.samples)
    names.push_back({samples.name, samples.name, std::shared_ptr<const Samples>(std::shared_ptr<void>(), &samples)});
  const double cpu_before_s = process_cpu_s();
  ResultWriter writer(options, prediction.labels, prediction.grid, impl_->setup.post);
  writer.check_recordings(names);
  const auto journal = Journal::unnamed(options.out_dir);
  journal->begin("{}", Collector::row_size(*impl_->setup.ensemble));
  prediction.run = run_over(names, impl_->setup, options, writer, *journal,
                            std::vector<const JournaledRecording*>(names.size()), cpu_before_s);
  prediction.record = run_record(options, prediction.run);
  return prediction;
}

}  // namespace whimbrel
