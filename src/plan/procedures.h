// Ways of choosing an ensemble, compared on recordings that they have not seen, so that a gain is not luck.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "plan/cascade.h"

namespace whimbrel {

/// Simplest first: of procedures that score the same on held-out recordings, the simpler one is taken.
enum class Procedure { single, equal, weighted, cascade };
inline constexpr std::array kProcedures = {Procedure::single, Procedure::equal, Procedure::weighted, Procedure::cascade};
std::string_view to_string(Procedure procedure);

/// What a procedure chose.
struct Chosen {
  Picks picks;
  std::optional<Cascade> cascade;  // its gate is the index of a candidate
  double share = 1;
};

struct CascadeOptions {
  CascadeMode mode = CascadeMode::automatic;
  double max_loss = 0.002;
};

/// Scores to expect of what each procedure chooses by all recordings: the score on these, minus what choosing by them flatters.
/// That is measured in folds of recordings: on each, what was chosen by all is compared with what was chosen without it.
struct Comparison {
  std::array<std::optional<double>, kProcedures.size()> scores;  // by Procedure; no cascade where a fold had none
  Procedure best = Procedure::single;
  Chosen chosen;     // by the best, from all recordings
  double score = 0;  // of the best
  double low = 0;    // 90 % interval of it, by drawing recordings again
  double high = 0;
  std::size_t folds = 0;

  double of(Procedure procedure) const { return scores[static_cast<std::size_t>(procedure)].value_or(0); }
};

/// @param selector  of `problem`
/// @throws Error{invalid_argument} with fewer than two recordings, or when nothing can be scored
Comparison compare_procedures(const Problem& problem, Selector& selector, const CascadeOptions& options);

/// By all of `problem`'s rows. A cascade that does not exist gives the weighted ensemble.
Chosen choose(const Problem& problem, Selector& selector, Procedure procedure, const CascadeOptions& options);

/// What the ensemble loses of its score without each member, at least 0, in the order of `picks`; 0 for a single one.
std::vector<double> gains_of(Selector& selector, const Picks& picks);

}  // namespace whimbrel
