#include "plan/procedures.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <random>

#include "whimbrel/core.h"

namespace whimbrel {
namespace {

constexpr std::size_t kFolds = 5;
constexpr int kResamples = 200;
/// A cascade that only ties must at least save this share of the time.
constexpr double kLeastSaving = 0.1;
constexpr std::size_t kCascade = 3;

template <class T>
using ByProcedure = std::array<T, kProcedures.size()>;

std::vector<float> scores_of(const Problem& problem, const Chosen& chosen) {
  return chosen.cascade ? cascade_scores(problem, chosen.picks, *chosen.cascade) : problem.mean_scores(chosen.picks);
}

double wall_of(const Problem& problem, const Chosen& chosen) {
  return problem.wall_s(chosen.picks,
                        chosen.cascade ? std::optional(PassShare{chosen.cascade->gate, chosen.share}) : std::nullopt);
}

ByProcedure<Chosen> choose_all(const Problem& problem, Selector& selector, const CascadeOptions& options) {
  ByProcedure<Chosen> chosen;
  for (std::size_t p = 0; p < chosen.size(); ++p) chosen[p] = choose(problem, selector, kProcedures[p], options);
  return chosen;
}

/// One fold's scores of what was chosen without it and of what was chosen by all.
struct FoldScores {
  std::optional<double> without;
  std::optional<double> by_all;
};

struct Folds {
  ByProcedure<std::vector<FoldScores>> scores;
  bool cascade_in_each = true;
};

Folds score_folds(const Problem& problem, std::size_t folds, const ByProcedure<Chosen>& by_all, const CascadeOptions& options) {
  Folds result;
  for (std::size_t fold = 0; fold < folds; ++fold) {
    const auto train = problem.with_recordings([&](std::size_t r) { return r % folds != fold; });
    const auto test = problem.with_recordings([&](std::size_t r) { return r % folds == fold; });
    Selector selector(train);
    const auto without = choose_all(train, selector, options);
    if (!without[kCascade].cascade) result.cascade_in_each = false;
    for (std::size_t p = 0; p < kProcedures.size(); ++p)
      result.scores[p].push_back({test.score(scores_of(test, without[p])), test.score(scores_of(test, by_all[p]))});
  }
  return result;
}

/// Mean over folds of by_all - without.
double flattery(const std::vector<FoldScores>& folds) {
  double sum = 0;
  int count = 0;
  for (const auto& fold : folds) {
    if (!fold.without || !fold.by_all) continue;
    sum += *fold.by_all - *fold.without;
    ++count;
  }
  return count == 0 ? 0 : sum / count;
}

/// The 5th and 95th percentile of the score when recordings are drawn again with replacement (Efron's bootstrap).
void set_interval(const Problem& problem, const std::vector<float>& scores, std::size_t recordings, Comparison& comparison) {
  const std::size_t classes = problem.validation.classes;
  std::vector<std::vector<std::size_t>> rows(recordings);
  for (std::size_t row = 0; row < problem.validation.rows(); ++row) rows[problem.validation.recordings[row]].push_back(row);
  std::vector<std::optional<double>> drawn(kResamples);
  in_parallel(drawn.size(), [&](std::size_t i) {
    std::mt19937 random(static_cast<unsigned>(i));
    std::vector<float> sample;
    Problem again{.validation = {.classes = classes}, .metric = problem.metric};
    for (std::size_t n = 0; n < recordings; ++n) {
      for (const auto row : rows[random() % recordings]) {
        const auto at = static_cast<std::ptrdiff_t>(row * classes), end = at + static_cast<std::ptrdiff_t>(classes);
        const auto& truth = problem.validation.truth;
        sample.insert(sample.end(), scores.begin() + at, scores.begin() + end);
        again.validation.truth.insert(again.validation.truth.end(), truth.begin() + at, truth.begin() + end);
      }
    }
    drawn[i] = again.score(sample);
  });
  std::vector<double> values;
  for (const auto& value : drawn) {
    if (value) values.push_back(*value);
  }
  std::sort(values.begin(), values.end());
  const double flattered = problem.score(scores).value_or(0) - comparison.score;
  const auto at = [&](double share) {
    if (values.empty()) return comparison.score;
    return std::clamp(values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))] - flattered, 0.0, 1.0);
  };
  comparison.low = std::min(at(0.05), comparison.score);
  comparison.high = std::max(at(0.95), comparison.score);
}

/// More than a tie, and not by one fold alone.
bool is_better(const Comparison& comparison, const Folds& folds, std::size_t other, std::size_t than) {
  if (*comparison.scores[other] <= *comparison.scores[than] + kScoreTie) return false;
  std::size_t won = 0, scored = 0;
  for (std::size_t f = 0; f < folds.scores[other].size(); ++f) {
    const auto &a = folds.scores[other][f].without, &b = folds.scores[than][f].without;
    if (!a || !b) continue;
    ++scored;
    won += *a > *b ? 1 : 0;
  }
  return 2 * won > scored;
}

Procedure best_of(const Problem& problem, const Comparison& comparison, const Folds& folds, const ByProcedure<Chosen>& by_all,
                  CascadeMode mode) {
  std::size_t best = 0;
  for (std::size_t p = 1; p < kCascade; ++p) {
    if (is_better(comparison, folds, p, best)) best = p;
  }
  if (!comparison.scores[kCascade]) return kProcedures[best];
  const bool ties = *comparison.scores[kCascade] >= *comparison.scores[best] - kScoreTie;
  const bool saves = wall_of(problem, by_all[kCascade]) < (1 - kLeastSaving) * wall_of(problem, by_all[best]);
  if (mode == CascadeMode::always || is_better(comparison, folds, kCascade, best) || (ties && saves)) best = kCascade;
  return kProcedures[best];
}

}  // namespace

std::string_view to_string(Procedure procedure) {
  switch (procedure) {
    case Procedure::single:
      return "single";
    case Procedure::equal:
      return "equal";
    case Procedure::weighted:
      return "weighted";
    case Procedure::cascade:
      return "cascade";
  }
  return "single";
}

Chosen choose(const Problem& problem, Selector& selector, Procedure procedure, const CascadeOptions& options) {
  switch (procedure) {
    case Procedure::single:
      return {selector.best_single(problem.budget_s), {}};
    case Procedure::equal:
      return {selector.best_equal(problem.budget_s), {}};
    case Procedure::cascade:
      if (const auto pick = best_cascade(problem, selector, options.mode, options.max_loss))
        return {pick->picks, pick->cascade, pick->share};
      break;
    case Procedure::weighted:
      break;
  }
  return {selector.best_weighted(problem.budget_s), {}};
}

Comparison compare_procedures(const Problem& problem, Selector& selector, const CascadeOptions& options) {
  const auto& ids = problem.validation.recordings;
  const std::size_t recordings = ids.empty() ? 0 : *std::max_element(ids.begin(), ids.end()) + 1;
  if (recordings < 2) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("{} validation recording, expected 2 or more: what is chosen by one is scored on another; cut a long "
                    "one into several",
                    recordings));
  }
  Comparison comparison{.folds = std::min(kFolds, recordings)};
  const auto by_all = choose_all(problem, selector, options);
  const auto folds = score_folds(problem, comparison.folds, by_all, options);
  for (std::size_t p = 0; p < kProcedures.size(); ++p) {
    if (p == kCascade && !(by_all[p].cascade && folds.cascade_in_each)) continue;
    const double seen = problem.score(scores_of(problem, by_all[p])).value_or(0);
    comparison.scores[p] = std::clamp(seen - flattery(folds.scores[p]), 0.0, 1.0);
  }
  comparison.best = best_of(problem, comparison, folds, by_all, options.mode);
  const auto best = static_cast<std::size_t>(comparison.best);
  comparison.chosen = by_all[best];
  comparison.score = *comparison.scores[best];
  set_interval(problem, scores_of(problem, comparison.chosen), recordings, comparison);
  return comparison;
}

std::vector<double> gains_of(Selector& selector, const Picks& picks) {
  std::vector<double> gains;
  for (const auto& [index, times] : picks) {
    Picks others = picks;
    others.erase(index);
    gains.push_back(others.empty() ? 0 : std::max(0.0, selector.score(picks) - selector.score(others)));
  }
  return gains;
}

}  // namespace whimbrel
