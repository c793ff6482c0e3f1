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
/// A held-out difference below this is no reason for the less simple ensemble.
constexpr double kLeastAdvantage = 1e-4;
constexpr std::array kProcedures = {Procedure::single, Procedure::equal, Procedure::weighted, Procedure::cascade};

std::vector<float> scores_of(const Problem& problem, const Chosen& chosen) {
  return chosen.cascade ? cascade_scores(problem, chosen.picks, *chosen.cascade) : problem.mean_scores(chosen.picks);
}

/// Predictions for all rows by one procedure, and whether they are there in every fold.
struct Pooled {
  std::vector<float> scores;
  bool complete = true;
};

void put(const std::vector<float>& from, const Problem& problem, std::size_t fold, std::size_t folds, std::vector<float>& to) {
  const std::size_t classes = problem.validation.classes;
  auto at = from.begin();
  for (std::size_t row = 0; row < problem.validation.rows(); ++row) {
    if (problem.validation.recordings[row] % folds != fold) continue;
    std::copy_n(at, classes, to.begin() + static_cast<std::ptrdiff_t>(row * classes));
    at += static_cast<std::ptrdiff_t>(classes);
  }
}

std::array<Pooled, kProcedures.size()> predict_held_out(const Problem& problem, std::size_t folds,
                                                        const CascadeOptions& options) {
  std::array<Pooled, kProcedures.size()> pooled;
  for (auto& p : pooled) p.scores.resize(problem.validation.truth.size());
  for (std::size_t fold = 0; fold < folds; ++fold) {
    const auto train = problem.with_recordings([&](std::size_t r) { return r % folds != fold; });
    const auto test = problem.with_recordings([&](std::size_t r) { return r % folds == fold; });
    Selector selector(train);
    for (std::size_t i = 0; i < kProcedures.size(); ++i) {
      const auto chosen = choose(train, selector, kProcedures[i], options);
      if (kProcedures[i] == Procedure::cascade && !chosen.cascade) {
        pooled[i].complete = false;
        continue;
      }
      put(scores_of(test, chosen), problem, fold, folds, pooled[i].scores);
    }
  }
  return pooled;
}

/// The 5th and 95th percentile of the score when recordings are drawn again with replacement (Efron's bootstrap).
void set_interval(const Problem& problem, const std::vector<float>& scores, std::size_t recordings, HeldOut& held_out) {
  const std::size_t classes = problem.validation.classes;
  std::vector<std::vector<std::size_t>> rows(recordings);
  for (std::size_t row = 0; row < problem.validation.rows(); ++row) rows[problem.validation.recordings[row]].push_back(row);
  std::vector<std::optional<double>> drawn(kResamples);
  in_parallel(drawn.size(), [&](std::size_t i) {
    std::mt19937 random(static_cast<unsigned>(i));
    std::vector<float> sample;
    std::vector<std::uint8_t> truth;
    for (std::size_t n = 0; n < recordings; ++n) {
      for (const auto row : rows[random() % recordings]) {
        const auto at = static_cast<std::ptrdiff_t>(row * classes), end = at + static_cast<std::ptrdiff_t>(classes);
        sample.insert(sample.end(), scores.begin() + at, scores.begin() + end);
        truth.insert(truth.end(), problem.validation.truth.begin() + at, problem.validation.truth.begin() + end);
      }
    }
    Problem again{.validation = {classes, std::move(truth), {}}, .metric = problem.metric};
    drawn[i] = again.score(sample);
  });
  std::vector<double> values;
  for (const auto& value : drawn) {
    if (value) values.push_back(*value);
  }
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    return values.empty() ? held_out.score : values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
  };
  held_out.low = std::min(at(0.05), held_out.score);
  held_out.high = std::max(at(0.95), held_out.score);
}

Procedure best_of(const HeldOut& scores, const CascadeOptions& options) {
  if (options.mode == CascadeMode::always && scores.cascade) return Procedure::cascade;
  Procedure best = Procedure::single;
  double score = scores.single;
  const auto offer = [&](Procedure procedure, double other) {
    if (other <= score + kLeastAdvantage) return;
    best = procedure;
    score = other;
  };
  offer(Procedure::equal, scores.equal);
  offer(Procedure::weighted, scores.weighted);
  if (scores.cascade) offer(Procedure::cascade, *scores.cascade);
  return best;
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

HeldOut cross_validate(const Problem& problem, const CascadeOptions& options) {
  const auto& ids = problem.validation.recordings;
  const std::size_t recordings = ids.empty() ? 0 : *std::max_element(ids.begin(), ids.end()) + 1;
  if (recordings < 2) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("{} validation recording, expected 2 or more: what is chosen by one is scored on another; cut a long "
                    "one into several",
                    recordings));
  }
  HeldOut held_out{.folds = std::min(kFolds, recordings)};
  const auto pooled = predict_held_out(problem, held_out.folds, options);
  std::array<double, kProcedures.size()> scores{};
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = problem.score(pooled[i].scores).value_or(0);
  held_out.single = scores[0];
  held_out.equal = scores[1];
  held_out.weighted = scores[2];
  if (pooled[3].complete) held_out.cascade = scores[3];
  held_out.best = best_of(held_out, options);
  held_out.score = scores[static_cast<std::size_t>(held_out.best)];
  set_interval(problem, pooled[static_cast<std::size_t>(held_out.best)].scores, recordings, held_out);
  return held_out;
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
