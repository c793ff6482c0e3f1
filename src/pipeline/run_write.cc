// What a run does with rows once they are collected.
#include <fmt/format.h>

#include <algorithm>

#include "pipeline/run.h"

namespace whimbrel {
namespace {

constexpr double kProgressEvery_s = 0.1;

}  // namespace

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
    result.error = fmt::format("{} after {} of {} windows",
                               stop_reason().empty() ? "the time budget ran out" : "the run stopped by itself", result.windows,
                               rows.windows);
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
