#include "pipeline/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "pipeline/run_record.h"

namespace whimbrel {
namespace {

/// A worker reads at least so many windows at a time: fewer would only hand the recording around more often.
constexpr std::size_t kLeastRead = 4;

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

Run::Run(const PredictOptions& options, std::shared_ptr<const Ensemble> ensemble, std::vector<RecordingName> names,
         ResultWriter& writer, Journal& journal, std::vector<const JournaledRecording*> finished, int workers, Budget* budget,
         Workload workload)
    : options_(options),
      ensemble_shared_(std::move(ensemble)),
      ensemble_(*ensemble_shared_),
      names_(std::move(names)),
      writer_(writer),
      journal_(journal),
      finished_(std::move(finished)),
      workers_(workers),
      read_count_(largest_batch(ensemble_)),
      budget_(budget),
      scheduler_(names_.size(), queues_of(ensemble_), static_cast<std::size_t>(workers)),
      collector_(ensemble_, names_.size(), journal, options.out_dir),
      gate_threshold_(ensemble_.cascade ? static_cast<float>(ensemble_.cascade->threshold) : 0),
      results_(names_.size()),
      stamps_(names_.size()),
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

void Run::fill(PredictResult& result) {
  result.stages += times_;
  result.timeline = timeline_.take();
  result.windows_resumed = windows_resumed_;
  result.windows = collector_.windows() + windows_resumed_;
  result.members = describe_members(ensemble_);
  for (std::size_t m = 0; m < fallbacks_.size(); ++m) {
    auto& member = result.members[m];
    if (member.shift_s != 0 || fallbacks_[m]->batches() == 0) continue;
    member.retried = fallbacks_[m]->batches();
    member.fallback_engine = fallbacks_[m]->other().engine;
  }
  result.windows_read = windows_read_;
  result.cancelled = cancelled();
  result.stop_reason = stop_reason();
  result.out_of_time = out_of_time();
  result.recordings = std::move(results_);
  result.rows_filled = writer_.rows_filled();
  result.files = writer_.files();
  if (budget_ != nullptr) result.budget_changes = budget_->changes();
}

/// Why the run ended by itself before its time; empty: it did not.
std::string Run::stop_reason() {
  const std::lock_guard lock(mutex_);
  return stop_reason_;
}

/// A run with a budget was promised a complete file, and writes it.
void Run::end_by_itself(const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    stop_reason_ = reason;
  }
  (budget_ != nullptr ? out_of_time_ : out_of_memory_) = true;
  scheduler_.stop();
}

/// False: this worker ends, so that there is memory for the others.
bool Run::fits_memory() {
  if (!memory_) return true;
  const auto verdict = memory_->look(Clock::now());
  if (verdict == MemoryGuard::Verdict::go_on) return true;
  if (verdict == MemoryGuard::Verdict::stop) {
    end_by_itself(memory_->reason());
  } else if (budget_ != nullptr) {
    budget_->set_workers(memory_->workers());
  }
  return false;
}

bool Run::do_next(Desk& desk, Runners& runners, StageTimes& times) {
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
  perform(desk, task, runners, spent);
  timeline_.add(begin, Clock::now(), spent);
  times += spent;
  return true;
}

void Run::perform(Desk& desk, Scheduler::Task& task, Runners& runners, StageTimes& times) {
  if (auto* open = std::get_if<Scheduler::Open>(&task)) {
    this->open(desk, open->recording, times);
  } else if (auto* produce = std::get_if<Scheduler::Produce>(&task)) {
    read(desk, std::move(produce->source), times);
  } else {
    infer(desk, std::get<Scheduler::Infer>(task), runners, times);
  }
}

namespace {

/// A recording as it was when the run came to it.
struct Opened {
  std::unique_ptr<RecordingSource> source;  // null: not wanted, or `failure` says why
  std::string failure;
  FileStamp stamp;
  std::optional<RecordingTime> began;
};

Opened open_recording(const Ensemble& ensemble, std::size_t recording, const RecordingName& name, bool wanted) {
  Opened opened;
  if (wanted && !name.samples) opened.stamp = stamp_of(name.path);  // before anything of it is read
  opened.began = name.samples ? recording_time_from_name(name.path) : recording_time(name.path);
  if (!wanted) return opened;
  try {
    opened.source = std::make_unique<RecordingSource>(ensemble, recording, name);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::bad_manifest || error.code() == ErrorCode::internal) throw;
    opened.failure = error.what();
  }
  return opened;
}

}  // namespace

void Run::open(Desk& desk, std::size_t recording, StageTimes& times) {
  const auto begin = Clock::now();
  const bool wanted = finished_[recording] == nullptr;
  auto opened = desk.watched(Work::decoding, {recording}, [&ensemble = ensemble_, name = names_[recording], recording, wanted] {
    return open_recording(ensemble, recording, name, wanted);
  });
  {
    const std::lock_guard lock(ledger_mutex_);
    results_[recording].began = opened.began;
    stamps_[recording] = opened.stamp;
  }
  const auto now = Clock::now();
  times.decode_s += seconds_between(begin, now);
  if (opened.source) {
    if (budget_ != nullptr) budget_->read(0, seconds_between(begin, now), now);
    return read(desk, std::move(opened.source), times);
  }
  if (!wanted) {
    restore(recording);
  } else {
    fail(recording, opened.failure);
    if (budget_ != nullptr) budget_->expect_more(-expected_[recording]);
  }
  scheduler_.produced(recording, {}, nullptr);
  write_ready(times);
}

/// A recording that an earlier run has scored.
void Run::restore(std::size_t recording) {
  const auto& finished = *finished_[recording];
  collector_.restore(recording, finished.runs);
  windows_resumed_ += finished.result.windows;
  {
    const std::lock_guard lock(ledger_mutex_);
    auto& result = results_[recording];
    const auto began = result.began;
    result = finished.result;
    result.began = began;
    result.resumed = true;
    if (budget_ != nullptr) budget_->expect_more(-expected_[recording]);
    expected_[recording] = result.windows;
  }
}

/// All windows of the recording are collected. Only what is there in full need not be tried again.
void Run::journal(std::size_t recording) {
  std::unique_lock lock(ledger_mutex_);
  const auto result = results_[recording];
  const auto stamp = stamps_[recording];
  lock.unlock();
  if (result.error.empty()) journal_.finish(recording, result, stamp);
}

void Run::read(Desk& desk, std::unique_ptr<RecordingSource> source, StageTimes& times) {
  const std::size_t recording = source->recording();
  const auto begin = Clock::now();
  const auto windows = desk.watched(
      Work::decoding, {recording},
      [&times, &source, count = read_count_, members = members_now()] { return source->read(count, members, times); });
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
    note_change(recording);
    if (budget_ != nullptr) budget_->expect_more(windows - expected_[recording]);
    expected_[recording] = windows;
  }
  if (windows == 0) {
    fail(recording, stream.error());
  } else if (collector_.set_window_count(recording, windows)) {
    journal(recording);
  }
}

/// A recording that still grows, or was replaced, is scored as far as it was there, and not finished. One that was removed was
/// still read to its end.
void Run::note_change(std::size_t recording) {
  auto& result = results_[recording];
  const auto& before = stamps_[recording];
  const auto now = before.bytes < 0 ? before : stamp_of(names_[recording].path);
  if (now == before || now.bytes < 0) return;
  const auto change = fmt::format("{}: changed while it was read, from {} to {} bytes; expected a recording that is complete",
                                  names_[recording].path.string(), before.bytes, now.bytes);
  result.error += (result.error.empty() ? "" : "; ") + change;
}

void Run::fail(std::size_t recording, const std::string& reason) {
  if (collector_.status(recording) == Collector::Status::abandoned) return;  // and its first reason was logged
  collector_.abandon(recording, reason);
  log(LogLevel::warning, reason);
}

bool Run::passes_gate(std::span<const float> row) const {
  return std::ranges::max(row.first(ensemble_.layout.classes)) >= gate_threshold_;
}

void Run::infer(Desk& desk, const Scheduler::Infer& task, Runners& runners, StageTimes& times) {
  const auto begin = Clock::now();
  const auto& member = ensemble_.members[task.member];
  auto& runner = runners[task.member];
  auto batch =
      desk.watched(Work::inference, {}, [&runner, &member, &task, &ensemble = ensemble_, fallback = fallbacks_[task.member]] {
        if (!runner) runner = std::make_unique<MemberRunner>(ensemble, member, fallback);
        return runner->run(task.windows);
      });
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
    if (collector_.add(task.member, window, std::move(row), passes)) journal(window.recording);
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

}  // namespace whimbrel
