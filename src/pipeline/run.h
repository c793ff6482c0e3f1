// The workers of one run: they read, run the members and write, until all is done, the user stops it or the time is over.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "pipeline/budget.h"
#include "pipeline/collector.h"
#include "pipeline/desk.h"
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
  /// @param finished  per recording: what an earlier run has scored of it, or null
  Run(const PredictOptions& options, std::shared_ptr<const Ensemble> ensemble, std::vector<RecordingName> names,
      ResultWriter& writer, Journal& journal, std::vector<const JournaledRecording*> finished, int workers, Budget* budget,
      Workload workload);

  /// @throws Error of what is not about one recording
  void run();

  /// What came of it; after run().
  void fill(PredictResult& result);

 private:
  using Runners = std::vector<std::unique_ptr<MemberRunner>>;

  bool cancelled() const {
    return out_of_memory_ || (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed));
  }
  /// Also where a run with a budget ends by itself: it was promised a complete file.
  bool out_of_time() const { return out_of_time_.load(std::memory_order_relaxed); }

  struct WorkerAtDesk {
    std::shared_ptr<Desk> desk = std::make_shared<Desk>();
    std::thread thread;
    bool left_behind = false;
  };

  void make_fallbacks();
  void start_worker();
  void wait();
  void look_after_workers();
  double decode_timeout_s() const;
  void leave_behind(WorkerAtDesk& worker, bool run_ends, const std::vector<std::size_t>& recordings);
  void work(Desk& desk);
  std::string stop_reason();
  void end_by_itself(const std::string& reason);
  bool fits_memory();
  bool do_next(Desk& desk, Runners& runners, StageTimes& times);
  void perform(Desk& desk, Scheduler::Task& task, Runners& runners, StageTimes& times);
  void open(Desk& desk, std::size_t recording, StageTimes& times);
  void restore(std::size_t recording);
  void journal(std::size_t recording);
  void read(Desk& desk, std::unique_ptr<RecordingSource> source, StageTimes& times);
  std::shared_ptr<const MemberSet> members_now();
  void end_of(const RecordingSource& source);
  void note_change(std::size_t recording);
  void fail(std::size_t recording, const std::string& reason);
  void infer(Desk& desk, const Scheduler::Infer& task, Runners& runners, StageTimes& times);
  bool passes_gate(std::span<const float> row) const;
  void write_ready(StageTimes& times);
  void write_rest();
  void write(std::size_t recording);
  std::int64_t write_rows(std::size_t recording, RecordingResult& result);
  Rows part_of(std::size_t recording, std::size_t from, std::size_t size) const;
  RecordingRows rows_of(std::size_t recording) const;
  void report_progress();

  const PredictOptions& options_;
  const std::shared_ptr<const Ensemble> ensemble_shared_;
  const Ensemble& ensemble_;
  const std::vector<RecordingName> names_;
  ResultWriter& writer_;
  Journal& journal_;
  const std::vector<const JournaledRecording*> finished_;
  const int workers_;
  const std::size_t read_count_;
  Budget* const budget_;
  Scheduler scheduler_;
  Collector collector_;
  std::atomic<bool> out_of_time_{false};
  std::optional<MemoryGuard> memory_;
  std::atomic<bool> out_of_memory_{false};
  std::atomic<std::int64_t> windows_read_{0};
  std::atomic<std::int64_t> windows_resumed_{0};

  std::vector<std::shared_ptr<Fallback>> fallbacks_;  // per member

  const float gate_threshold_;

  std::mutex ledger_mutex_;  // guards the three below
  std::vector<RecordingResult> results_;
  std::vector<FileStamp> stamps_;       // of each recording when it was opened
  std::vector<std::int64_t> expected_;  // windows of each recording, as its header or its end says

  std::mutex write_mutex_;  // guards the writer and the four below
  std::size_t next_to_write_ = 0;
  std::size_t recordings_written_ = 0;
  const Clock::time_point begin_;
  Clock::time_point last_progress_{};
  Timeline timeline_;

  // Only the caller of run() touches these.
  std::deque<WorkerAtDesk> workers_at_desks_;
  std::optional<Clock::time_point> cancelled_at_;
  std::size_t decoders_left_behind_ = 0;

  std::mutex mutex_;  // guards the three below and Desk::ended
  std::condition_variable worker_ended_;
  std::exception_ptr failure_;
  std::string stop_reason_;
  StageTimes times_;
};

}  // namespace whimbrel
