// The threads of a run, and who looks after them.
#include <fmt/format.h>

#include <algorithm>

#include "pipeline/run.h"

namespace whimbrel {
namespace {

constexpr auto kLookEvery = std::chrono::milliseconds(50);
constexpr double kGrace_s = 1;          // for calls under way when the user stops the run
constexpr double kPatienceShare = 0.1;  // of a time budget
constexpr std::size_t kMostLeftBehind = 16;

}  // namespace

void Run::run() {
  for (int w = 0; w < workers_; ++w) start_worker();
  wait();
  if (failure_) std::rethrow_exception(failure_);
  write_rest();
}

void Run::start_worker() {
  workers_at_desks_.push_back({});
  auto& worker = workers_at_desks_.back();
  // Whoever is left behind keeps the ensemble, and touches nothing else.
  worker.thread = std::thread([this, desk = worker.desk, ensemble = ensemble_shared_] { work(*desk); });
}

/// Until every worker has ended or is left behind.
void Run::wait() {
  for (auto worker = workers_at_desks_.begin(); worker != workers_at_desks_.end();) {
    {
      std::unique_lock lock(mutex_);
      worker_ended_.wait_for(lock, kLookEvery, [&] { return worker->desk->ended; });
      if (worker->desk->ended) {
        lock.unlock();
        worker->thread.join();
        ++worker;
        continue;
      }
    }
    look_after_workers();
    if (worker->left_behind) ++worker;
  }
}

/// Ends what the workers might not notice themselves while a call hangs: calls, and the run when the time is over.
void Run::look_after_workers() {
  const auto now = Clock::now();
  if (budget_ != nullptr && budget_->must_stop(now)) {
    out_of_time_ = true;
    scheduler_.stop();
  }
  if (cancelled() && !cancelled_at_) {
    cancelled_at_ = now;
    scheduler_.stop();
  }
  const bool no_grace =
      (cancelled_at_ && seconds_between(*cancelled_at_, now) > kGrace_s) || (budget_ != nullptr && budget_->must_write(now));
  const auto patience = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(decode_timeout_s()));
  const std::size_t workers = workers_at_desks_.size();  // more may come
  for (std::size_t w = 0; w < workers; ++w) {
    auto& worker = workers_at_desks_[w];
    if (worker.left_behind) continue;
    const auto given_up =
        no_grace ? worker.desk->give_up(std::nullopt, now) : worker.desk->give_up(Work::decoding, now - patience);
    // Those that hang at the moment at which the last one is given up are not reached: the run has ended.
    const bool run_ends = no_grace || decoders_left_behind_ >= kMostLeftBehind;
    if (given_up) leave_behind(worker, run_ends, *given_up);
  }
}

/// A hung decoder may not cost a short run all of its time.
double Run::decode_timeout_s() const {
  return options_.budget_s > 0 ? std::min(options_.decode_timeout_s, kPatienceShare * options_.budget_s)
                               : options_.decode_timeout_s;
}

/// Its recordings have failed, unless it was the end of the run that came too early for them.
void Run::leave_behind(WorkerAtDesk& worker, bool run_ends, const std::vector<std::size_t>& recordings) {
  worker.thread.detach();
  worker.left_behind = true;
  if (run_ends) return;
  for (const auto recording : recordings) {
    fail(recording,
         fmt::format("{}: nothing was decoded for {:g} s, expected it to be read in far less; is its disk still there?",
                     names_[recording].path.string(), decode_timeout_s()));
    scheduler_.produced(recording, {}, nullptr);
  }
  StageTimes times;
  write_ready(times);
  if (++decoders_left_behind_ < kMostLeftBehind) return start_worker();
  const auto reason =
      fmt::format("{} recordings could not be read for {:g} s each, the last of them {}; is the disk still there?",
                  decoders_left_behind_, decode_timeout_s(), names_[recordings.at(0)].path.string());
  if (budget_ != nullptr) {
    log(LogLevel::error, "stopping: " + reason);
    return end_by_itself(reason);
  }
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::make_exception_ptr(Error(ErrorCode::io, reason));
  scheduler_.stop();
}

/// One worker, from its first task to Stop. An exception that is not about one recording ends the run.
void Run::work(Desk& desk) {
  StageTimes times;
  Runners runners(ensemble_.members.size());
  std::exception_ptr failure;
  try {
    while (do_next(desk, runners, times)) {
    }
  } catch (const GivenUp&) {
    return;  // the run may be gone
  } catch (...) {
    failure = std::current_exception();
    scheduler_.stop();
  }
  runners.clear();
  const std::lock_guard lock(mutex_);
  if (failure && !failure_) failure_ = failure;
  times_ += times;
  desk.ended = true;
  worker_ended_.notify_all();
}

}  // namespace whimbrel
