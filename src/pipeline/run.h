// The workers of one run: they read, run the members and write, until all is done, the user stops it or the time is over.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "pipeline/budget.h"
#include "pipeline/collector.h"
#include "pipeline/ensemble.h"
#include "pipeline/member_runner.h"
#include "pipeline/memory.h"
#include "pipeline/result_writer.h"
#include "pipeline/scheduler.h"
#include "pipeline/source.h"
#include "pipeline/timeline.h"
#include "pipeline/workload.h"

namespace whimbrel {

class Run {
 public:
  /// @param budget    null: all the time there is
  /// @param workload  windows to expect of each recording; only read where there is a budget
  Run(const PredictOptions& options, const Ensemble& ensemble, std::vector<RecordingName> names, ResultWriter& writer,
      int workers, Budget* budget, Workload workload);

  /// @throws Error of what is not about one recording
  void run();

  /// What came of it; after run().
  void fill(PredictResult& result);

 private:
  using Runners = std::vector<std::unique_ptr<MemberRunner>>;

  bool cancelled() const {
    return out_of_memory_ || (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed));
  }
  bool out_of_time() const { return out_of_time_.load(std::memory_order_relaxed); }

  void make_fallbacks();
  void work();
  bool fits_memory();
  bool do_next(Runners& runners, StageTimes& times);
  void perform(Scheduler::Task& task, Runners& runners, StageTimes& times);
  void open(std::size_t recording, StageTimes& times);
  void note_begin(std::size_t recording);
  void read(std::unique_ptr<RecordingSource> source, StageTimes& times);
  std::shared_ptr<const MemberSet> members_now();
  void end_of(const RecordingSource& source);
  void fail(std::size_t recording, const std::string& reason);
  void infer(const Scheduler::Infer& task, Runners& runners, StageTimes& times);
  bool passes_gate(std::span<const float> row) const;
  void write_ready(StageTimes& times);
  void write_rest();
  void write(std::size_t recording);
  std::int64_t write_rows(std::size_t recording, RecordingResult& result);
  Rows part_of(std::size_t recording, std::size_t from, std::size_t size) const;
  RecordingRows rows_of(std::size_t recording) const;
  void report_progress();

  const PredictOptions& options_;
  const Ensemble& ensemble_;
  const std::vector<RecordingName> names_;
  ResultWriter& writer_;
  const int workers_;
  const std::size_t read_count_;
  Budget* const budget_;
  Scheduler scheduler_;
  Collector collector_;
  std::atomic<bool> out_of_time_{false};
  std::optional<MemoryGuard> memory_;
  std::atomic<bool> out_of_memory_{false};
  std::atomic<std::int64_t> windows_read_{0};

  std::vector<std::shared_ptr<Fallback>> fallbacks_;  // per member

  const float gate_threshold_;

  std::mutex ledger_mutex_;  // guards the two below
  std::vector<RecordingResult> results_;
  std::vector<std::int64_t> expected_;  // windows of each recording, as its header or its end says

  std::mutex write_mutex_;  // guards the writer and the four below
  std::size_t next_to_write_ = 0;
  std::size_t recordings_written_ = 0;
  const Clock::time_point begin_;
  Clock::time_point last_progress_{};
  Timeline timeline_;

  std::mutex mutex_;  // guards the two below
  std::exception_ptr failure_;
  StageTimes times_;
};

}  // namespace whimbrel
