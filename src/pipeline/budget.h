// Keeps a run inside its time: measures its own rate, says which members may score the windows to come, and when to stop.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "pipeline/scheduler.h"
#include "whimbrel/core.h"
#include "whimbrel/pipeline.h"

namespace whimbrel {

/// What the budget knows of a member before it runs.
struct BudgetMember {
  double gain = 0;      // what the ensemble loses without it, on any one scale
  double cost_s = 0;    // seconds of one worker per window; 0: unknown
  bool keep = false;    // never dropped: a gate, or what gives frames or embeddings
  bool gated = false;   // scores only what the gate lets through
  bool closed = false;  // has no session
};

/// Thread-safe. Time is given by the caller, so that tests may turn the clock.
///
/// The projection: windows to come × (reading + the members' costs) / workers, with costs that are each stage's mean so far
/// times how much slower than its mean the machine is now (over the last seconds). When it passes the deadline, the member with
/// the smallest gain per second is dropped for the windows to come, and comes back when the projection allows it again.
class Budget {
 public:
  Budget(Clock::time_point begin, Clock::time_point deadline, std::vector<BudgetMember> members, int workers,
         std::int64_t windows, std::size_t row_values);

  /// Windows that were read, in seconds of one worker.
  void read(std::int64_t windows, double seconds, Clock::time_point now);
  void inferred(std::size_t member, std::size_t windows, double seconds, Clock::time_point now);
  /// Of `windows` that the gate has seen, `admitted` passed.
  void gated(std::size_t windows, std::size_t admitted);
  void wrote(std::int64_t windows, double seconds);
  /// The run turns out to have so many more (or fewer) windows than expected.
  void expect_more(std::int64_t windows);

  /// Who scores the windows that are read next; what changed since the last call is told by dropped().
  std::shared_ptr<const MemberSet> members(Clock::time_point now);
  /// Members dropped by the last decision, once.
  std::vector<std::size_t> take_dropped();
  /// No new task may begin: what is left of the time is for writing.
  bool must_stop(Clock::time_point now) const;
  /// No task that is under way can be waited for any more.
  bool must_write(Clock::time_point now) const;

  /// Every change of mind, in time order.
  std::vector<BudgetChange> changes() const;

 private:
  struct Rate {
    double seconds = 0;
    double units = 0;
    double per_unit(double prior) const { return units > 0 ? seconds / units : prior; }
  };

  void note(Rate& rate, double prior, double units, double seconds, Clock::time_point now);
  double reserve_s(double task_s) const;
  double needed_s(const MemberSet& set) const;
  void decide(Clock::time_point now);
  void change(std::size_t member, bool dropped, Clock::time_point now);
  double cost_s(std::size_t member) const;

  const Clock::time_point begin_;
  const Clock::time_point deadline_;
  const std::vector<BudgetMember> members_;
  const double workers_;
  const double memory_s_;  // over which the machine's present speed is averaged

  mutable std::mutex mutex_;  // guards all below
  std::int64_t total_;
  std::int64_t read_windows_ = 0;
  std::int64_t written_ = 0;
  Rate reading_;
  Rate writing_;
  std::vector<Rate> inference_;
  std::vector<std::int64_t> pending_;  // windows given to each member and not inferred yet
  double gate_seen_ = 0;
  double gate_admitted_ = 0;
  double recent_s_ = 0;           // decayed: time spent
  double recent_expected_s_ = 0;  // decayed: what the means said it would take
  Clock::time_point decayed_at_;
  double longest_task_s_ = 0;
  double write_prior_s_;
  std::shared_ptr<const MemberSet> set_;
  std::vector<std::size_t> dropped_;
  std::vector<BudgetChange> changes_;
};

}  // namespace whimbrel
