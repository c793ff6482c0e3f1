#include "plan/cascade.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>

namespace whimbrel {
namespace {

/// A gate above this share of the others' cost saves too little to be worth a threshold.
constexpr double kDearestGate = 0.5;
/// Shares of the windows that thresholds are tried for.
constexpr std::array kShares = {0.02, 0.05, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75};
/// Ensembles behind the gate: the best for so many times the budget, as they run on a part of the windows only.
constexpr std::array kBudgets = {1.0, 1.5, 2.0, 4.0, 8.0, std::numeric_limits<double>::infinity()};
constexpr std::size_t kMostCells = 20000;
constexpr std::size_t kLeastCells = 100;

double logit(float p) {
  const double clipped = std::clamp(static_cast<double>(p), 1e-6, 1 - 1e-6);
  return std::log(clipped / (1 - clipped));
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

float strongest(const std::vector<float>& scores, std::size_t row, std::size_t classes) {
  const auto begin = scores.begin() + static_cast<std::ptrdiff_t>(row * classes);
  return *std::max_element(begin, begin + static_cast<std::ptrdiff_t>(classes));
}

/// Cells of the windows that do not pass, thinned evenly: two parameters need no more.
void cells_below(const Problem& problem, const std::vector<float>& gate, const std::vector<float>& mean, double threshold,
                 std::vector<float>& gate_cells, std::vector<float>& mean_cells) {
  const std::size_t classes = problem.validation.classes;
  const std::size_t step = gate.size() / kMostCells + 1;
  std::size_t seen = 0;
  for (std::size_t row = 0; row < problem.validation.rows(); ++row) {
    if (strongest(gate, row, classes) >= threshold) continue;
    for (std::size_t i = row * classes; i < (row + 1) * classes; ++i) {
      if (seen++ % step != 0) continue;
      gate_cells.push_back(gate[i]);
      mean_cells.push_back(mean[i]);
    }
  }
}

double share_above(const Problem& problem, const std::vector<float>& gate, double threshold) {
  std::size_t above = 0;
  for (std::size_t row = 0; row < problem.validation.rows(); ++row)
    above += strongest(gate, row, problem.validation.classes) >= threshold ? 1 : 0;
  return static_cast<double>(above) / static_cast<double>(problem.validation.rows());
}

/// `picks` with `gate` in it, in the place of another form of the same model. Empty where it would be alone or too dear.
Picks with_gate(const Problem& problem, Picks picks, std::size_t gate) {
  int times = 0;
  double others_s = 0;
  for (auto pick = picks.begin(); pick != picks.end();) {
    const auto& candidate = problem.candidates[pick->first];
    if (candidate.model == problem.candidates[gate].model) {
      times = pick->second;
      pick = picks.erase(pick);
    } else {
      others_s += candidate.cost_s;
      ++pick;
    }
  }
  if (picks.empty() || problem.candidates[gate].cost_s > kDearestGate * others_s) return {};
  picks[gate] = std::max(times, 1);
  return picks;
}

/// Thresholds that let about kShares of the windows pass; distinct, as scores may tie.
std::vector<double> thresholds_of(const Problem& problem, const std::vector<float>& gate) {
  std::vector<float> tops(problem.validation.rows());
  for (std::size_t row = 0; row < tops.size(); ++row) tops[row] = strongest(gate, row, problem.validation.classes);
  std::sort(tops.begin(), tops.end(), std::greater<>());
  std::set<double> thresholds;
  for (const double share : kShares) {
    const auto passing = static_cast<std::size_t>(std::llround(share * static_cast<double>(tops.size())));
    if (passing > 0 && passing < tops.size()) thresholds.insert(tops[passing - 1]);
  }
  return {thresholds.begin(), thresholds.end()};
}

/// Each model once, in the form that scores best.
Picks every_model(const Problem& problem, Selector& selector) {
  std::map<std::size_t, std::size_t> form;
  for (std::size_t c = 0; c < problem.candidates.size(); ++c) {
    const auto [found, is_new] = form.emplace(problem.candidates[c].model, c);
    if (!is_new && selector.score({{c, 1}}) > selector.score({{found->second, 1}})) found->second = c;
  }
  Picks picks;
  for (const auto& [model, candidate] : form) picks[candidate] = 1;
  return picks;
}

/// Every threshold for one gate before one ensemble; those that fit the budget.
std::vector<CascadePick> cascades_of(const Problem& problem, const Picks& picks, std::size_t gate) {
  const auto& gate_scores = problem.candidates[gate].scores;
  const auto mean = problem.mean_scores(picks);
  std::vector<CascadePick> found;
  for (const double threshold : thresholds_of(problem, gate_scores)) {
    CascadePick pick{picks, {.gate = gate, .threshold = threshold}, share_above(problem, gate_scores, threshold)};
    pick.wall_s = problem.wall_s(picks, PassShare{gate, pick.share});
    if (pick.wall_s > problem.budget_s) continue;
    std::vector<float> gate_cells, mean_cells;
    cells_below(problem, gate_scores, mean, threshold, gate_cells, mean_cells);
    const auto calibration = calibrate(gate_cells, mean_cells);
    pick.cascade.slope = calibration.slope;
    pick.cascade.offset = calibration.offset;
    const auto score = problem.score(cascade_scores(problem, picks, pick.cascade));
    if (!score) continue;
    pick.score = *score;
    found.push_back(std::move(pick));
  }
  return found;
}

}  // namespace

Calibration calibrate(const std::vector<float>& gate, const std::vector<float>& mean) {
  constexpr int kSteps = 30;
  constexpr double kRidge = 1e-9;  // keeps the step finite where all of the gate's scores are the same
  Calibration fit;
  if (gate.size() < kLeastCells) return fit;
  for (int step = 0; step < kSteps; ++step) {
    double g0 = 0, g1 = 0, h00 = kRidge, h01 = 0, h11 = kRidge;
    for (std::size_t i = 0; i < gate.size(); ++i) {
      const double x = logit(gate[i]);
      const double p = sigmoid(fit.slope * x + fit.offset);
      const double error = p - static_cast<double>(mean[i]), weight = std::max(p * (1 - p), 1e-12);
      g0 += error;
      g1 += error * x;
      h00 += weight;
      h01 += weight * x;
      h11 += weight * x * x;
    }
    const double determinant = h00 * h11 - h01 * h01;
    if (!(std::abs(determinant) > 1e-18)) break;
    // Limited, because far from the solution the curve is flat and a full step overshoots.
    const double offset_step = std::clamp((h11 * g0 - h01 * g1) / determinant, -2.0, 2.0);
    const double slope_step = std::clamp((h00 * g1 - h01 * g0) / determinant, -0.5, 0.5);
    fit.offset -= offset_step;
    fit.slope -= slope_step;
    if (std::abs(offset_step) + std::abs(slope_step) < 1e-9) break;
  }
  const bool usable = std::isfinite(fit.slope) && std::isfinite(fit.offset) && fit.slope > 0.01 && fit.slope < 100;
  return usable ? fit : Calibration();
}

std::vector<float> cascade_scores(const Problem& problem, const Picks& picks, const Cascade& cascade) {
  const auto& gate = problem.candidates[cascade.gate].scores;
  const std::size_t classes = problem.validation.classes;
  auto scores = problem.mean_scores(picks);
  for (std::size_t row = 0; row < problem.validation.rows(); ++row) {
    if (strongest(gate, row, classes) >= cascade.threshold) continue;
    for (std::size_t i = row * classes; i < (row + 1) * classes; ++i)
      scores[i] = static_cast<float>(sigmoid(cascade.slope * logit(gate[i]) + cascade.offset));
  }
  return scores;
}

std::optional<CascadePick> best_cascade(const Problem& problem, Selector& selector, CascadeMode mode, double max_loss) {
  if (mode == CascadeMode::never) return std::nullopt;
  std::set<std::pair<Picks, std::size_t>> distinct;
  std::vector<Picks> ensembles;
  for (const double times : kBudgets) ensembles.push_back(selector.best_weighted(problem.budget_s * times));
  // Where one model alone scores best there is nothing to gate, but a cascade was asked for.
  if (mode == CascadeMode::always) ensembles.push_back(every_model(problem, selector));
  for (const auto& picks : ensembles) {
    for (std::size_t gate = 0; gate < problem.candidates.size() && !picks.empty(); ++gate) {
      auto gated = with_gate(problem, picks, gate);
      if (!gated.empty()) distinct.emplace(std::move(gated), gate);
    }
  }
  const std::vector<std::pair<Picks, std::size_t>> trials(distinct.begin(), distinct.end());
  std::vector<std::vector<CascadePick>> found(trials.size());
  in_parallel(trials.size(), [&](std::size_t i) { found[i] = cascades_of(problem, trials[i].first, trials[i].second); });

  double best = -1;
  for (const auto& of_trial : found) {
    for (const auto& pick : of_trial) best = std::max(best, pick.score);
  }
  const auto plain = selector.best_weighted(problem.budget_s);
  double least = best - kScoreTie;
  if (mode == CascadeMode::always && !plain.empty()) least = std::min(best, selector.score(plain) - max_loss);
  std::optional<CascadePick> chosen;
  for (const auto& of_trial : found) {
    for (const auto& pick : of_trial) {
      if (pick.score >= least && (!chosen || pick.wall_s < chosen->wall_s)) chosen = pick;
    }
  }
  return chosen;
}

}  // namespace whimbrel
