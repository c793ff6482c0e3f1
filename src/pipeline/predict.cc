#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <exception>
#include <mutex>
#include <thread>

#include "pipeline/collector.h"
#include "pipeline/inputs.h"
#include "pipeline/result_writer.h"
#include "pipeline/run_record.h"
#include "pipeline/scheduler.h"
#include "pipeline/source.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

/// A worker reads at least so many windows at a time: fewer would only hand the recording around more often.
constexpr std::size_t kLeastRead = 4;
constexpr double kProgressEvery_s = 0.1;

std::size_t largest_batch(const Ensemble& ensemble) {
  std::size_t largest = kLeastRead;
  for (const auto& member : ensemble.members) largest = std::max(largest, static_cast<std::size_t>(member.batch));
  return largest;
}

std::vector<Scheduler::MemberQueue> queues_of(const Ensemble& ensemble) {
  std::vector<Scheduler::MemberQueue> queues;
  for (const auto& member : ensemble.members) queues.push_back({member.batch, member.check.rows_independent});
  return queues;
}

/// The state that the workers of one run share.
class Run {
 public:
  Run(const PredictOptions& options, const Ensemble& ensemble, std::vector<RecordingName> names, ResultWriter& writer,
      int workers)
      : options_(options),
        ensemble_(ensemble),
        names_(std::move(names)),
        writer_(writer),
        workers_(workers),
        read_count_(largest_batch(ensemble)),
        scheduler_(names_.size(), queues_of(ensemble), static_cast<std::size_t>(workers)),
        collector_(ensemble, names_.size(), options.out_dir),
        results_(names_.size()),
        begin_(Clock::now()) {
    for (std::size_t i = 0; i < names_.size(); ++i) results_[i].path = names_[i].path;
  }

  void run() {
    {
      std::vector<std::jthread> threads;
      for (int w = 0; w < workers_; ++w) threads.emplace_back([this] { work(); });
    }
    if (failure_) std::rethrow_exception(failure_);
    write_rest();
  }

  void fill(PredictResult& result) {
    result.stages.decode_s += times_.decode_s;
    result.stages.front_end_s += times_.front_end_s;
    result.stages.infer_s += times_.infer_s;
    result.stages.write_s += times_.write_s;
    result.stages.wait_s += times_.wait_s;
    result.windows = windows_done_;
    result.cancelled = cancelled();
    result.recordings = std::move(results_);
    result.rows_filled = writer_.rows_filled();
    result.files = writer_.files();
  }

 private:
  bool cancelled() const { return options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed); }

  /// One worker, from its first task to Stop. An exception that is not about one recording ends the run.
  void work() {
    StageTimes times;
    std::vector<std::unique_ptr<Runner>> runners(ensemble_.members.size());
    try {
      for (;;) {
        if (cancelled()) scheduler_.stop();
        const auto asked = Clock::now();
        auto task = scheduler_.next();
        times.wait_s += seconds_between(asked, Clock::now());
        if (std::holds_alternative<Scheduler::Stop>(task)) break;
        if (auto* open = std::get_if<Scheduler::Open>(&task)) {
          this->open(open->recording, times);
        } else if (auto* produce = std::get_if<Scheduler::Produce>(&task)) {
          read(std::move(produce->source), times);
        } else {
          infer(std::get<Scheduler::Infer>(task), runners, times);
        }
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      scheduler_.stop();
    }
    const std::lock_guard lock(mutex_);
    times_.decode_s += times.decode_s;
    times_.front_end_s += times.front_end_s;
    times_.infer_s += times.infer_s;
    times_.write_s += times.write_s;
    times_.wait_s += times.wait_s;
  }

  void open(std::size_t recording, StageTimes& times) {
    std::unique_ptr<RecordingSource> source;
    try {
      const auto begin = Clock::now();
      source = std::make_unique<RecordingSource>(ensemble_, recording, names_[recording].path);
      times.decode_s += seconds_between(begin, Clock::now());
    } catch (const Error& error) {
      if (error.code() == ErrorCode::bad_manifest || error.code() == ErrorCode::internal) throw;
      fail(recording, error.what());
      scheduler_.produced(recording, {}, nullptr);
      write_ready(times);
      return;
    }
    read(std::move(source), times);
  }

  void read(std::unique_ptr<RecordingSource> source, StageTimes& times) {
    const std::size_t recording = source->recording();
    const auto windows = source->read(read_count_, times);
    if (windows.size() == read_count_) {
      scheduler_.produced(recording, windows, std::move(source));
      return;
    }
    end_of(*source);
    scheduler_.produced(recording, windows, nullptr);
    write_ready(times);  // a recording without windows is complete at once
  }

  /// What the ledger says of a recording that has been read to its end.
  void end_of(const RecordingSource& source) {
    const auto& stream = source.stream();
    const std::int64_t windows = stream.index() + 1;
    {
      const std::lock_guard lock(ledger_mutex_);
      note(stream, results_[source.recording()]);
    }
    if (windows == 0) {
      fail(source.recording(), stream.error());
    } else {
      collector_.set_window_count(source.recording(), windows);
    }
  }

  static void note(const WindowStream& stream, RecordingResult& result) {
    result.decoded_s = stream.decoded_s();
    result.sample_rate_hz = stream.reader().sample_rate_hz();
    result.channels = stream.reader().channels();
    result.codec = stream.reader().codec();
    result.non_finite_samples = stream.reader().non_finite_samples();
    if (result.state == RecordingState::failed) return;  // a bad score ended it before its last window was read
    result.windows = stream.index() + 1;
    result.error = stream.error();
  }

  void fail(std::size_t recording, const std::string& reason) {
    collector_.abandon(recording, reason);
    log(LogLevel::warning, reason);
  }

  void infer(const Scheduler::Infer& task, std::vector<std::unique_ptr<Runner>>& runners, StageTimes& times) {
    const auto begin = Clock::now();
    const auto& member = ensemble_.members[task.member];
    auto& runner = runners[task.member];
    if (!runner) runner = member.session->make_runner();
    fill_input(member, task.windows, runner->input());
    runner->run();
    const auto output = runner->output(0);
    const std::size_t classes = ensemble_.labels.size();
    for (std::size_t row = 0; row < task.windows.size(); ++row) {
      const auto& window = *task.windows[row];
      const auto scores = output.subspan(row * classes, classes);
      std::vector<float> probabilities(scores.begin(), scores.end());
      activate(member.manifest, probabilities);
      if (!std::all_of(probabilities.begin(), probabilities.end(), [](float p) { return std::isfinite(p); })) {
        fail(window.recording, fmt::format("{}: model {} gave a score that is not finite for window {}",
                                           names_[window.recording].path.string(), member.manifest.name, window.index));
        continue;
      }
      collector_.add(task.member, window.recording, window.index, std::move(probabilities));
      if (task.member == 0) windows_done_.fetch_add(1, std::memory_order_relaxed);
    }
    scheduler_.inferred();
    times.infer_s += seconds_between(begin, Clock::now());
    write_ready(times);
  }

  /// Rows of the batch that no window fills are zero, so that every inference has the session's one shape.
  static void fill_input(const Member& member, const std::vector<WindowPtr>& windows, std::span<float> input) {
    const std::size_t row = input.size() / static_cast<std::size_t>(member.batch);
    const std::size_t planes = member.manifest.kind == InputKind::mel ? static_cast<std::size_t>(member.manifest.channels) : 1;
    auto at = input.begin();
    for (const auto& window : windows) {
      const auto& feature = window->features[member.front_end];
      for (std::size_t p = 0; p < planes; ++p) at = std::copy(feature.begin(), feature.end(), at);
    }
    std::fill(at, input.begin() + static_cast<std::ptrdiff_t>(row * static_cast<std::size_t>(member.batch)), 0.0F);
  }

  /// Writes what is complete and next in input order. One worker does it at a time; the others go on, and what they complete
  /// meanwhile is written at the next call, or by write_rest().
  void write_ready(StageTimes& times) {
    const auto begin = Clock::now();
    if (const std::unique_lock lock(write_mutex_, std::try_to_lock); lock.owns_lock()) {
      while (next_to_write_ < names_.size() && collector_.status(next_to_write_) != Collector::Status::under_way) {
        write(next_to_write_++);
      }
      report_progress();
    }
    times.write_s += seconds_between(begin, Clock::now());
  }

  void write_rest() {
    for (; next_to_write_ < names_.size(); ++next_to_write_) write(next_to_write_);
    writer_.finish();
  }

  void write(std::size_t recording) {
    const std::lock_guard lock(ledger_mutex_);
    auto& result = results_[recording];
    switch (collector_.status(recording)) {
      case Collector::Status::under_way:
        result.error = "the run was stopped before this recording was finished";
        break;
      case Collector::Status::abandoned:
        result.state = RecordingState::failed;
        result.error = collector_.reason(recording);
        result.windows = 0;
        break;
      case Collector::Status::complete:
        result.state = result.error.empty() ? RecordingState::done : RecordingState::partial;
        if (!result.error.empty()) log(LogLevel::warning, result.error);
        write_scores(recording);
        break;
    }
    ++recordings_written_;
  }

  void write_scores(std::size_t recording) {
    std::vector<float> rows;
    collector_.drain(
        recording, [&](std::int64_t, std::span<const float> scores) { rows.insert(rows.end(), scores.begin(), scores.end()); });
    const std::size_t classes = ensemble_.labels.size();
    const auto windows = static_cast<std::int64_t>(rows.size() / classes);
    const Rows scores = [&](const auto& take) {
      for (std::int64_t i = 0; i < windows; ++i) {
        take(i, std::span<const float>(rows).subspan(static_cast<std::size_t>(i) * classes, classes));
      }
    };
    writer_.write(names_[recording], {.scores = scores, .windows = windows});
  }

  void report_progress() {
    if (!options_.on_progress) return;
    const auto now = Clock::now();
    if (seconds_between(last_progress_, now) < kProgressEvery_s) return;
    last_progress_ = now;
    const double elapsed = seconds_between(begin_, now);
    Progress progress{recordings_written_, names_.size(), windows_done_.load(std::memory_order_relaxed)};
    progress.windows_per_s = static_cast<double>(progress.windows_done) / elapsed;
    if (recordings_written_ > 0) {
      progress.eta_s =
          elapsed / static_cast<double>(recordings_written_) * static_cast<double>(names_.size() - recordings_written_);
    }
    options_.on_progress(progress);
  }

  const PredictOptions& options_;
  const Ensemble& ensemble_;
  std::vector<RecordingName> names_;
  ResultWriter& writer_;
  int workers_;
  std::size_t read_count_;
  Scheduler scheduler_;
  Collector collector_;
  std::atomic<std::int64_t> windows_done_{0};

  std::mutex ledger_mutex_;  // guards the one below
  std::vector<RecordingResult> results_;

  std::mutex write_mutex_;  // guards the formats and the four below
  std::size_t next_to_write_ = 0;
  std::size_t recordings_written_ = 0;
  Clock::time_point begin_;
  Clock::time_point last_progress_{};

  std::mutex mutex_;  // guards the two below
  std::exception_ptr failure_;
  StageTimes times_;
};

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
  PredictResult result;
  result.workers = options.threads > 0 ? options.threads : cpu_info().cores_allowed;
  auto ensemble = load_ensemble(options.models, options.window_hop_s);
  auto names = shard(find_recordings(options.inputs), options.shard_index, options.shard_count);
  prepare_folder(options.out_dir);
  ResultWriter writer(options, ensemble.labels, ensemble.grids[0], resolve_post_process(ensemble.members[0].manifest, options));
  writer.check_recordings(names);
  open_sessions(ensemble, options, result.workers);
  result.stages.start_s = seconds_between(process_start(), Clock::now());

  Run run(options, ensemble, std::move(names), writer, result.workers);
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
