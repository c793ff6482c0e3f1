#include "pipeline/budget.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace whimbrel {
namespace {

/// Of a cascade, before its gate has seen a window.
constexpr double kFirstShare = 0.3;
/// Workers wait for each other at the end of a run, and rates are never known better than this.
constexpr double kUsable = 0.97;
/// A member comes back only if the projection leaves this much room, so that noise does not make it come and go.
constexpr double kRoomToReturn = 0.9;
/// For sync, rename, run.json and the end of the process.
constexpr double kFinish_s = 0.4;
/// Writing and the task under way may meet a machine that has just become slower.
constexpr double kSlower = 1.5;
constexpr double kMostReserved = 0.35;  // of the budget
constexpr double kWriteValue_s = 3e-7;  // one score as text
constexpr double kFirstCost_s = 0.02;   // of a window, where nothing is known of a member

}  // namespace

Budget::Budget(Clock::time_point begin, Clock::time_point deadline, std::vector<BudgetMember> members, int workers,
               std::int64_t windows, std::size_t row_values)
    : begin_(begin),
      deadline_(deadline),
      members_(std::move(members)),
      workers_(workers),
      memory_s_(std::clamp(0.02 * seconds_between(begin, deadline), 0.5, 10.0)),
      total_(windows),
      inference_(members_.size()),
      pending_(members_.size()),
      decayed_at_(begin),
      write_prior_s_(kWriteValue_s * static_cast<double>(row_values)) {
  MemberSet set;
  for (const auto& member : members_) set.push_back(!member.closed);
  set_ = std::make_shared<MemberSet>(std::move(set));
}

void Budget::note(Rate& rate, double prior, double units, double seconds, Clock::time_point now) {
  const double expected_s = rate.per_unit(prior) * units;
  rate.seconds += seconds;
  rate.units += units;
  const double decay = std::exp(-std::max(0.0, seconds_between(decayed_at_, now)) / memory_s_);
  decayed_at_ = std::max(decayed_at_, now);
  recent_s_ = recent_s_ * decay + seconds;
  recent_expected_s_ = recent_expected_s_ * decay + (expected_s > 0 ? expected_s : seconds);
  longest_task_s_ = std::max(longest_task_s_ * decay, seconds);
}

void Budget::read(std::int64_t windows, double seconds, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  note(reading_, 0, static_cast<double>(windows), seconds, now);
  read_windows_ += windows;
  for (std::size_t m = 0; m < members_.size(); ++m) {
    if ((*set_)[m] && !members_[m].gated) pending_[m] += windows;
  }
}

void Budget::inferred(std::size_t member, std::size_t windows, double seconds, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  note(inference_[member], members_[member].cost_s, static_cast<double>(windows), seconds, now);
  pending_[member] -= std::min<std::int64_t>(pending_[member], static_cast<std::int64_t>(windows));
}

void Budget::gated(std::size_t windows, std::size_t admitted) {
  const std::lock_guard lock(mutex_);
  gate_seen_ += static_cast<double>(windows);
  gate_admitted_ += static_cast<double>(admitted);
}

void Budget::wrote(std::int64_t windows, double seconds) {
  const std::lock_guard lock(mutex_);
  written_ += windows;
  writing_.seconds += seconds;
  writing_.units += static_cast<double>(windows);
}

void Budget::expect_more(std::int64_t windows) {
  const std::lock_guard lock(mutex_);
  total_ += windows;
}

double Budget::cost_s(std::size_t member) const {
  const double prior = members_[member].cost_s > 0 ? members_[member].cost_s : kFirstCost_s;
  return inference_[member].per_unit(prior);
}

double Budget::reserve_s(double task_s) const {
  const double unwritten = static_cast<double>(std::max<std::int64_t>(0, total_ - written_));
  const double wanted = kFinish_s + kSlower * (task_s + unwritten * writing_.per_unit(write_prior_s_));
  return std::min(wanted, kMostReserved * seconds_between(begin_, deadline_));
}

double Budget::needed_s(const MemberSet& set) const {
  const double slowness = recent_expected_s_ > 0 ? recent_s_ / recent_expected_s_ : 1;
  const double to_come = static_cast<double>(std::max<std::int64_t>(0, total_ - read_windows_));
  const double admitted = gate_seen_ > 0 ? gate_admitted_ / gate_seen_ : kFirstShare;
  double worker_s = to_come * reading_.per_unit(0);
  for (std::size_t m = 0; m < members_.size(); ++m) {
    double windows = static_cast<double>(pending_[m]);
    if (set[m]) windows += to_come * (members_[m].gated ? admitted : 1);
    worker_s += windows * cost_s(m);
  }
  return worker_s * slowness / workers_;
}

std::shared_ptr<const MemberSet> Budget::members(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  decide(now);
  return set_;
}

void Budget::decide(Clock::time_point now) {
  const double left_s = kUsable * (seconds_between(now, deadline_) - reserve_s(longest_task_s_));
  std::vector<std::size_t> open;
  MemberSet set(members_.size());
  for (std::size_t m = 0; m < members_.size(); ++m) {
    set[m] = !members_[m].closed;
    if (set[m] && !members_[m].keep) open.push_back(m);
  }
  const auto value = [&](std::size_t m) { return members_[m].gain / cost_s(m); };
  std::ranges::stable_sort(open, [&](std::size_t a, std::size_t b) { return value(a) < value(b); });
  std::size_t left = static_cast<std::size_t>(std::ranges::count(set, true));
  for (const auto m : open) {
    const bool returning = !(*set_)[m];
    if (needed_s(set) <= (returning ? kRoomToReturn : 1) * left_s || left == 1) break;
    set[m] = false;
    --left;
  }
  if (set == *set_) return;
  for (std::size_t m = 0; m < members_.size(); ++m) {
    if (set[m] != (*set_)[m]) change(m, !set[m], now);
  }
  set_ = std::make_shared<MemberSet>(std::move(set));
}

void Budget::change(std::size_t member, bool dropped, Clock::time_point now) {
  if (dropped) dropped_.push_back(member);
  changes_.push_back({.member = member,
                      .dropped = dropped,
                      .at_s = seconds_between(begin_, now),
                      .windows_read = read_windows_,
                      .windows_expected = total_});
}

std::vector<std::size_t> Budget::take_dropped() {
  const std::lock_guard lock(mutex_);
  return std::exchange(dropped_, {});
}

bool Budget::must_stop(Clock::time_point now) const {
  const std::lock_guard lock(mutex_);
  return seconds_between(now, deadline_) < reserve_s(longest_task_s_);
}

bool Budget::must_write(Clock::time_point now) const {
  const std::lock_guard lock(mutex_);
  return seconds_between(now, deadline_) < reserve_s(0);
}

std::vector<BudgetChange> Budget::changes() const {
  const std::lock_guard lock(mutex_);
  return changes_;
}

}  // namespace whimbrel
