#include "pipeline/trials.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace whimbrel {
namespace {

// What another engine is expected to take for opening a model: its library comes on top, and OpenVINO compiles what ONNX
// Runtime reads. Seen: 0.2 to 0.4 s for the library, then 0.8 to 1.4 times as long.
constexpr double kLibrary_s = 0.35;
constexpr double kOtherEngine = 1.3;
constexpr double kSameEngine = 1.2;
constexpr int kRunsToOpen = 3;      // of check_session() and for the cost
constexpr int kMoreRunsToOpen = 2;  // where rows have neighbours
constexpr int kLeastPairs = 3;
constexpr int kMostPairs = 41;
constexpr double kShareOfOne = 0.25;  // of the budget, for one comparison
/// What is not clearly faster does not replace what is open: the answer should be the same tomorrow.
constexpr double kClearly = 0.98;

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::ranges::nth_element(values, middle);
  return *middle;
}

/// The state of one search.
class Search {
 public:
  Search(const Setting& first, double budget_s, const TrialHooks& hooks)
      : hooks_(hooks), begin_(hooks.now_s()), budget_s_(budget_s), deadline_(begin_ + budget_s), best_(hooks.open(first)) {
    open_s_ = first_open_s_ = hooks_.now_s() - begin_;
    note(best_, best_.opened.cost_s);
  }

  double first_open_s() const { return first_open_s_; }
  double best_open_s() const { return open_s_; }
  EngineKind best_engine() const { return best_.opened.setting.engine; }

  void attempt(const Setting& setting, double expected_open_s) {
    const double cost = best_.opened.cost_s;
    const int runs = kRunsToOpen + (setting.batch > 1 ? kMoreRunsToOpen : 0);
    const double windows = runs * setting.batch + kLeastPairs * (setting.batch + best_.opened.setting.batch);
    const double begin = hooks_.now_s();
    if (begin + expected_open_s + windows * cost > deadline_) return;
    auto other = open(setting);
    if (!other) return;
    const double open_s = hooks_.now_s() - begin;
    if (best_.opened.check.rows_independent && !other->opened.check.rows_independent) return;
    const auto [mine, theirs] = compare(*other);
    best_.opened.cost_s = mine;
    other->opened.cost_s = theirs;
    note(best_, mine);
    note(*other, theirs);
    if (theirs > kClearly * mine) return;
    best_ = std::move(*other);
    open_s_ = open_s;
  }

  TrialResult result() {
    const auto setting = best_.opened.setting;
    const auto won = [&](const TunedSetting& s) { return Setting{s.engine, s.batch} == setting; };
    std::ranges::stable_sort(
        settings_, [&](const auto& a, const auto& b) { return won(a) != won(b) ? won(a) : a.windows_per_s > b.windows_per_s; });
    return {std::move(best_), std::move(settings_)};
  }

 private:
  std::optional<Trial> open(const Setting& setting) const {
    try {
      return hooks_.open(setting);
    } catch (const Error& error) {
      log(LogLevel::debug, error.what());
      return std::nullopt;
    }
  }

  /// Seconds of one window, of the best one so far and of `other`.
  std::pair<double, double> compare(const Trial& other) {
    std::vector<double> mine, theirs;
    const double end = std::min(deadline_, hooks_.now_s() + kShareOfOne * budget_s_);
    const double pair_s = best_.opened.cost_s * best_.opened.setting.batch + other.opened.cost_s * other.opened.setting.batch;
    while (mine.empty() || (std::ssize(mine) < kMostPairs && hooks_.now_s() + pair_s < end)) {
      const bool mine_first = mine.size() % 2 == 0;  // the second one finds the caches as the first one left them
      if (mine_first) mine.push_back(best_.run());
      theirs.push_back(other.run());
      if (!mine_first) mine.push_back(best_.run());
    }
    return {median(mine), median(theirs)};
  }

  void note(const Trial& trial, double cost_s) {
    const auto& setting = trial.opened.setting;
    const TunedSetting measured{setting.engine, setting.batch, cost_s > 0 ? 1 / cost_s : 0};
    const auto known = std::ranges::find_if(settings_, [&](const auto& s) { return Setting{s.engine, s.batch} == setting; });
    if (known == settings_.end()) {
      settings_.push_back(measured);
    } else {
      *known = measured;
    }
  }

  const TrialHooks& hooks_;
  double begin_, budget_s_, deadline_;
  Trial best_;
  double first_open_s_ = 0, open_s_ = 0;
  std::vector<TunedSetting> settings_;
};

}  // namespace

TrialResult find_setting(const std::vector<EngineKind>& engines, const std::vector<int>& batches, double budget_s,
                         const TrialHooks& hooks) {
  Search search({engines.at(0), batches.at(0)}, budget_s, hooks);
  for (std::size_t e = 1; e < engines.size(); ++e) {
    search.attempt({engines[e], batches[0]}, kLibrary_s + kOtherEngine * search.first_open_s());
  }
  for (std::size_t b = 1; b < batches.size(); ++b) {
    search.attempt({search.best_engine(), batches[b]}, kSameEngine * search.best_open_s());
  }
  return search.result();
}

}  // namespace whimbrel
