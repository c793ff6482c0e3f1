// A cheap member scores every window, the others only those where it hears something: gate, threshold and calibration, learned.
#pragma once

#include <optional>
#include <vector>

#include "plan/select.h"
#include "whimbrel/plan.h"

namespace whimbrel {

/// A cascade of candidates, with what it does on the rows that it was learned on.
struct CascadePick {
  Picks picks;        // with the gate
  Cascade cascade;    // its gate is the index of a candidate
  double share = 1;   // of the windows that pass the gate
  double score = 0;   // validation
  double wall_s = 0;  // expected
};

struct Calibration {
  double slope = 1;
  double offset = 0;
};

/// The slope (above 0) and offset with which sigmoid(slope * logit(p) + offset) of `gate` says the same as `mean`: least
/// cross-entropy over all cells (Platt scaling with soft targets), by Newton's method.
/// @param gate  probabilities; `mean` likewise. Fewer than 100 cells, or a gate that says the opposite: the identity
Calibration calibrate(const std::vector<float>& gate, const std::vector<float>& mean);

/// [rows, classes] as predict() gives them.
std::vector<float> cascade_scores(const Problem& problem, const Picks& picks, const Cascade& cascade);

/// With `automatic` the cascade of the best score within the budget; of those as good within kScoreTie, the fastest. With
/// `always` the fastest one whose score is at most `max_loss` below that of the best weighted ensemble that fits, or, where
/// none is, the one of the best score. nullopt where none fits or no model is cheap enough to be a gate.
std::optional<CascadePick> best_cascade(const Problem& problem, Selector& selector, CascadeMode mode, double max_loss);

/// Scores this close say the same: the faster one is taken.
inline constexpr double kScoreTie = 0.0005;

}  // namespace whimbrel
