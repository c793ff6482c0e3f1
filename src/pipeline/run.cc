#include "pipeline/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "pipeline/run_record.h"

namespace whimbrel {
namespace {

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
  for (std::size_t m = 0; m < ensemble.members.size(); ++m) {
    const auto& member = ensemble.members[m];
    queues.push_back({member.batch, member.check.rows_independent, ensemble.gated(m)});
  }
  return queues;
}

void add_times(StageTimes& sum, const StageTimes& times) {
  sum.decode_s += times.decode_s;
  sum.front_end_s += times.front_end_s;
  sum.infer_s += times.infer_s;
  sum.write_s += times.write_s;
  sum.wait_s += times.wait_s;
}

void note(const WindowStream& stream, RecordingResult& result) {
  result.decoded_s = stream.decoded_s();
  result.sample_rate_hz = stream.reader().sample_rate_hz();
  result.channels = stream.reader().channels();
  result.codec = stream.reader().codec();
  result.non_finite_samples = stream.reader().non_finite_samples();
  if (result.state == RecordingState::failed) return;  // a bad score ended it before its last window was read
  result.windows = stream.index() + 1;
  result.error = stream.error();
}

}  // namespace

Run::Run(const PredictOptions& options, const Ensemble& ensemble, std::vector<RecordingName> names, ResultWriter& writer,
         int workers, Budget* budget, Workload workload)
    : options_(options),
      ensemble_(ensemble),
      names_(std::move(names)),
      writer_(writer),
      workers_(workers),
      read_count_(largest_batch(ensemble)),
      budget_(budget),
      scheduler_(names_.size(), queues_of(ensemble), static_cast<std::size_t>(workers)),
      collector_(ensemble, names_.size(), options.out_dir),
      gate_threshold_(ensemble.cascade ? static_cast<float>(ensemble.cascade->threshold) : 0),
      results_(names_.size()),
      expected_(std::move(workload.windows)),
      begin_(Clock::now()),
      timeline_(begin_) {
  for (std::size_t i = 0; i < names_.size(); ++i) results_[i].path = names_[i].path;
  make_fallbacks();
  if (options.max_memory_bytes > 0) memory_.emplace(options.max_memory_bytes, workers);
  expected_.resize(names_.size());
}

/// One for each session, which copies of a member share.
void Run::make_fallbacks() {
  for (const auto& member : ensemble_.members) {
    const auto same = std::ranges::find(ensemble_.members, member.session, &Member::session) - ensemble_.members.begin();
    const auto known = static_cast<std::size_t>(same);
    fallbacks_.push_back(known < fallbacks_.size() ? fallbacks_[known] : std::make_shared<Fallback>(member, workers_));
  }
}

void Run::run() {
  {
    std::vector<std::jthread> threads;
    for (int w = 0; w < workers_; ++w) threads.emplace_back([this] { work(); });
  }
  if (failure_) std::rethrow_exception(failure_);
  write_rest();
}

void Run::fill(PredictResult& result) {
  add_times(result.stages, times_);
  result.timeline = timeline_.take();
  result.members = describe_members(ensemble_);
  for (std::size_t m = 0; m < fallbacks_.size(); ++m) {
    auto& member = result.members[m];
    if (member.shift_s != 0 || fallbacks_[m]->batches() == 0) continue;
    member.retried = fallbacks_[m]->batches();
    member.fallback_engine = fallbacks_[m]->other().engine;
  }
  result.windows = collector_.windows();
  result.windows_read = windows_read_;
  result.cancelled = cancelled();
  if (memory_) result.stop_reason = memory_->reason();
  result.out_of_time = out_of_time();
  result.recordings = std::move(results_);
  result.rows_filled = writer_.rows_filled();
  result.files = writer_.files();
  if (budget_ != nullptr) result.budget_changes = budget_->changes();
}

/// One worker, from its first task to Stop. An exception that is not about one recording ends the run.
void Run::work() {
  StageTimes times;
  Runners runners(ensemble_.members.size());
  try {
    while (do_next(runners, times)) {
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
    scheduler_.stop();
  }
  const std::lock_guard lock(mutex_);
  add_times(times_, times);
}

/// False: this worker ends, so that there is memory for the others.
bool Run::fits_memory() {
  if (!memory_) return true;
  const auto verdict = memory_->look(Clock::now());
  if (verdict == MemoryGuard::Verdict::go_on) return true;
  if (verdict == MemoryGuard::Verdict::stop) {
    out_of_memory_ = true;
    scheduler_.stop();
  } else if (budget_ != nullptr) {
    budget_->set_workers(memory_->workers());
  }
  return false;
}

bool Run::do_next(Runners& runners, StageTimes& times) {
  if (!fits_memory()) return false;
  if (cancelled()) scheduler_.stop();
  const auto asked = Clock::now();
  auto task = scheduler_.next();
  const auto begin = Clock::now();
  times.wait_s += seconds_between(asked, begin);
  if (std::holds_alternative<Scheduler::Stop>(task)) return false;
  if (budget_ != nullptr && budget_->must_stop(begin)) {
    out_of_time_ = true;
    scheduler_.stop();
    return false;
  }
  StageTimes spent;
  perform(task, runners, spent);
  timeline_.add(begin, Clock::now(), spent);
  add_times(times, spent);
  return true;
}

void Run::perform(Scheduler::Task& task, Runners& runners, StageTimes& times) {
  if (auto* open = std::get_if<Scheduler::Open>(&task)) {
    this->open(open->recording, times);
  } else if (auto* produce = std::get_if<Scheduler::Produce>(&task)) {
    read(std::move(produce->source), times);
  } else {
    infer(std::get<Scheduler::Infer>(task), runners, times);
  }
}

void Run::open(std::size_t recording, StageTimes& times) {
  std::unique_ptr<RecordingSource> source;
  const auto begin = Clock::now();
  note_begin(recording);
  try {
    source = std::make_unique<RecordingSource>(ensemble_, recording, names_[recording]);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::bad_manifest || error.code() == ErrorCode::internal) throw;
    fail(recording, error.what());
    if (budget_ != nullptr) budget_->expect_more(-expected_[recording]);
    scheduler_.produced(recording, {}, nullptr);
    write_ready(times);
    return;
  }
  const auto opened = Clock::now();
  times.decode_s += seconds_between(begin, opened);
  if (budget_ != nullptr) budget_->read(0, seconds_between(begin, opened), opened);
  read(std::move(source), times);
}

void Run::note_begin(std::size_t recording) {
  const auto& name = names_[recording];
  const auto began = name.samples ? recording_time_from_name(name.path) : recording_time(name.path);
  const std::lock_guard lock(ledger_mutex_);
  results_[recording].began = began;
}

void Run::read(std::unique_ptr<RecordingSource> source, StageTimes& times) {
  const std::size_t recording = source->recording();
  const auto begin = Clock::now();
  const auto windows = source->read(read_count_, members_now(), times);
  windows_read_ += std::ssize(windows);
  if (budget_ != nullptr) {
    const auto now = Clock::now();
    budget_->read(std::ssize(windows), seconds_between(begin, now), now);
  }
  if (windows.size() == read_count_) {
    scheduler_.produced(recording, windows, std::move(source));
    return;
  }
  end_of(*source);
  scheduler_.produced(recording, windows, nullptr);
  write_ready(times);  // a recording without windows is complete at once
}

/// Who scores the windows that are read next.
std::shared_ptr<const MemberSet> Run::members_now() {
  if (budget_ == nullptr) return nullptr;
  auto members = budget_->members(Clock::now());
  for (const auto member : budget_->take_dropped()) scheduler_.flush(member);
  return members;
}

/// What the ledger says of a recording that has been read to its end.
void Run::end_of(const RecordingSource& source) {
  const auto& stream = source.stream();
  const auto recording = source.recording();
  const std::int64_t windows = stream.index() + 1;
  {
    const std::lock_guard lock(ledger_mutex_);
    note(stream, results_[recording]);
    if (budget_ != nullptr) budget_->expect_more(windows - expected_[recording]);
    expected_[recording] = windows;
  }
  if (windows == 0) {
    fail(recording, stream.error());
  } else {
    collector_.set_window_count(recording, windows);
  }
}

void Run::fail(std::size_t recording, const std::string& reason) {
  if (collector_.status(recording) == Collector::Status::abandoned) return;  // and its first reason was logged
  collector_.abandon(recording, reason);
  log(LogLevel::warning, reason);
}

bool Run::passes_gate(std::span<const float> row) const {
  return std::ranges::max(row.first(ensemble_.layout.classes)) >= gate_threshold_;
}

void Run::infer(const Scheduler::Infer& task, Runners& runners, StageTimes& times) {
  const auto begin = Clock::now();
  const auto& member = ensemble_.members[task.member];
  auto& runner = runners[task.member];
  if (!runner) runner = std::make_unique<MemberRunner>(ensemble_, member, *fallbacks_[task.member]);
  auto batch = runner->run(task.windows);
  const bool is_gate = ensemble_.cascade && task.member == ensemble_.cascade->gate;
  std::vector<WindowPtr> admitted;
  for (std::size_t i = 0; i < task.windows.size(); ++i) {
    const auto& window = *task.windows[i];
    auto& row = batch.rows[i];
    if (row.empty()) {
      fail(window.recording,
           fmt::format("{}: window {}: {}", names_[window.recording].path.string(), window.index, batch.reason));
      continue;
    }
    const bool passes = is_gate && passes_gate(row);
    if (passes) admitted.push_back(task.windows[i]);
    collector_.add(task.member, window, std::move(row), passes);
  }
  if (!admitted.empty()) scheduler_.admit(admitted);
  scheduler_.inferred();
  const auto now = Clock::now();
  times.infer_s += seconds_between(begin, now);
  if (budget_ != nullptr) {
    budget_->inferred(task.member, task.windows.size(), seconds_between(begin, now), now);
    if (is_gate) budget_->gated(task.windows.size(), admitted.size());
  }
  write_ready(times);
}

/// Writes what is complete and next in input order. One worker does it at a time; the others go on, and what they complete
/// meanwhile is written at the next call, or by write_rest().
void Run::write_ready(StageTimes& times) {
  const auto begin = Clock::now();
  if (const std::unique_lock lock(write_mutex_, std::try_to_lock); lock.owns_lock()) {
    const bool waits = ensemble_.mean == Mean::rank;  // for all rows of the run
    while (!waits && next_to_write_ < names_.size() && collector_.status(next_to_write_) != Collector::Status::under_way) {
      write(next_to_write_++);
    }
    report_progress();
  }
  times.write_s += seconds_between(begin, Clock::now());
}

void Run::write_rest() {
  const bool fills = out_of_time() && !cancelled();
  for (auto r = next_to_write_; fills && r < names_.size(); ++r) collector_.close(r);
  collector_.finish_ranks();
  for (auto r = next_to_write_; fills && r < names_.size(); ++r) writer_.tally(rows_of(r));
  for (; next_to_write_ < names_.size(); ++next_to_write_) write(next_to_write_);
  writer_.finish();
}

void Run::write(std::size_t recording) {
  const auto begin = Clock::now();
  std::int64_t windows = 0;
  {
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
        windows = write_rows(recording, result);
        break;
    }
  }
  collector_.forget(recording);
  ++recordings_written_;
  if (budget_ != nullptr) budget_->wrote(windows, seconds_between(begin, Clock::now()));
}

/// Returns the windows written: when the time is over also those that were not scored.
std::int64_t Run::write_rows(std::size_t recording, RecordingResult& result) {
  auto rows = rows_of(recording);
  result.windows = rows.windows;
  if (out_of_time()) rows.windows = std::max(rows.windows, expected_[recording]);
  result.filled = rows.windows - result.windows;
  if (!result.error.empty()) log(LogLevel::warning, result.error);
  if (result.filled > 0 || result.windows == 0) {
    result.error = fmt::format("the time budget ran out after {} of {} windows", result.windows, rows.windows);
  }
  result.state = result.error.empty() ? RecordingState::done : RecordingState::partial;
  if (result.windows == 0) result.state = RecordingState::cancelled;
  auto name = names_[recording];
  name.began = result.began;
  writer_.write(name, rows);
  return rows.windows;
}

Rows Run::part_of(std::size_t recording, std::size_t from, std::size_t size) const {
  if (size == 0) return {};
  return [this, recording, from, size](const auto& take) {
    collector_.for_each(recording,
                        [&](std::int64_t index, std::span<const float> row) { take(index, row.subspan(from, size)); });
  };
}

/// All that was collected of a recording.
RecordingRows Run::rows_of(std::size_t recording) const {
  const auto& layout = ensemble_.layout;
  const std::size_t frames = layout.classes * layout.frames;
  RecordingRows rows;
  rows.scores = part_of(recording, 0, layout.classes);
  rows.frames = part_of(recording, layout.classes, frames);
  rows.embeddings = part_of(recording, layout.classes + frames, layout.embedding);
  rows.frames_per_window = static_cast<std::int64_t>(layout.frames);
  rows.windows = collector_.windows_of(recording);
  return rows;
}

void Run::report_progress() {
  if (!options_.on_progress) return;
  const auto now = Clock::now();
  if (seconds_between(last_progress_, now) < kProgressEvery_s) return;
  last_progress_ = now;
  const double elapsed = seconds_between(begin_, now);
  Progress progress{recordings_written_, names_.size(), collector_.windows()};
  progress.windows_per_s = static_cast<double>(progress.windows_done) / elapsed;
  if (recordings_written_ > 0) {
    progress.eta_s =
        elapsed / static_cast<double>(recordings_written_) * static_cast<double>(names_.size() - recordings_written_);
  }
  options_.on_progress(progress);
}

}  // namespace whimbrel
