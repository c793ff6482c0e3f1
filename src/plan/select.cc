#include "plan/select.h"

#include <algorithm>
#include <set>

#include "whimbrel/core.h"

namespace whimbrel {
namespace {

constexpr int kMostPicks = 30;
/// Steps without a new best after which an ensemble grows no further. More than one: the first pick of a model gives it half
/// the weight of a single one, and picking that one again first is how a smaller share is reached.
constexpr int kPatience = 5;
/// Cells below which starting a thread takes longer than scoring them.
constexpr std::size_t kWorthAThread = 10000;
/// What is less is rounding, not a gain.
constexpr double kLeastGain = 1e-6;

int count_of(const Picks& picks) {
  int count = 0;
  for (const auto& [index, times] : picks) count += times;
  return count;
}

}  // namespace

double Selector::score(const Picks& picks) {
  (void)best_of({picks});
  return known_.at(reduced(picks));
}

/// Of equal ones, the cheapest, then the first.
Picks Selector::best_of(const std::vector<Picks>& trials) {
  std::set<Picks> distinct;
  for (const auto& trial : trials) distinct.insert(reduced(trial));
  std::erase_if(distinct, [&](const Picks& picks) { return known_.contains(picks); });
  const std::vector<Picks> unknown(distinct.begin(), distinct.end());
  std::vector<double> scores(unknown.size());
  const auto score_one = [&](std::size_t i) {
    const auto value = problem_.score(problem_.mean_scores(unknown[i]));
    if (!value)
      throw Error(ErrorCode::invalid_argument, "no class has both positive and negative windows, expected at least one");
    scores[i] = *value;
  };
  if (unknown.size() * problem_.validation.truth.size() < kWorthAThread) {
    for (std::size_t i = 0; i < unknown.size(); ++i) score_one(i);
  } else {
    in_parallel(unknown.size(), score_one);
  }
  for (std::size_t i = 0; i < unknown.size(); ++i) known_.emplace(unknown[i], scores[i]);

  const Picks* best = nullptr;
  for (const auto& trial : trials) {
    if (best == nullptr) {
      best = &trial;
      continue;
    }
    const double difference = known_.at(reduced(trial)) - known_.at(reduced(*best));
    if (difference > kLeastGain || (difference >= -kLeastGain && problem_.wall_s(trial) < problem_.wall_s(*best)))
      best = &trial;
  }
  return best == nullptr ? Picks() : *best;
}

std::vector<Picks> Selector::singles(double budget_s) const {
  std::vector<Picks> found;
  for (std::size_t i = 0; i < problem_.candidates.size(); ++i) {
    if (problem_.wall_s({{i, 1}}) <= budget_s) found.push_back({{i, 1}});
  }
  return found;
}

bool Selector::may_add(const Picks& picks, std::size_t candidate) const {
  return std::ranges::none_of(picks, [&](const auto& pick) {
    return pick.first != candidate && problem_.candidates[pick.first].model == problem_.candidates[candidate].model;
  });
}

Picks Selector::grow(Picks start, Replacement replacement, double budget_s) {
  Picks best = start, now = std::move(start);
  for (int idle = 0; idle < kPatience && count_of(now) < kMostPicks;) {
    std::vector<Picks> trials;
    for (std::size_t i = 0; i < problem_.candidates.size(); ++i) {
      if ((replacement == Replacement::no && now.contains(i)) || !may_add(now, i)) continue;
      Picks trial = now;
      ++trial[i];
      if (problem_.wall_s(trial) <= budget_s) trials.push_back(std::move(trial));
    }
    if (trials.empty()) break;
    now = best_of(trials);
    if (score(now) > score(best) + kLeastGain) {
      best = now;
      idle = 0;
    } else {
      ++idle;
    }
  }
  return best;
}

/// From every start: the best single model may leave no room for two small ones that do better together.
Picks Selector::best_grown(const std::vector<Picks>& starts, Replacement replacement, double budget_s) {
  std::vector<Picks> grown;
  grown.reserve(starts.size());
  for (const auto& start : starts) grown.push_back(grow(start, replacement, budget_s));
  return reduced(best_of(grown));
}

Picks Selector::best_single(double budget_s) { return best_of(singles(budget_s)); }

Picks Selector::best_equal(double budget_s) { return best_grown(singles(budget_s), Replacement::no, budget_s); }

Picks Selector::best_weighted(double budget_s) {
  auto starts = singles(budget_s);
  if (starts.empty()) return {};
  starts.push_back(best_equal(budget_s));
  return best_grown(starts, Replacement::yes, budget_s);
}

}  // namespace whimbrel
