// Ways of choosing an ensemble, compared on recordings that they have not seen, so that a gain is not luck.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "plan/cascade.h"

namespace whimbrel {

/// Simplest first: of procedures that score the same on held-out recordings, the simpler one is taken.
enum class Procedure { single, equal, weighted, cascade };
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

/// Pooled over the folds: each window is scored by what was chosen without its recording.
struct HeldOut {
  double single = 0;
  double equal = 0;
  double weighted = 0;
  std::optional<double> cascade;  // absent where there is none in some fold
  Procedure best = Procedure::single;
  double score = 0;  // of the best
  double low = 0;    // 90 % interval of it, by drawing recordings again
  double high = 0;
  std::size_t folds = 0;
};

/// @throws Error{invalid_argument} with fewer than two recordings, or when nothing can be scored
HeldOut cross_validate(const Problem& problem, const CascadeOptions& options);

/// By all of `problem`'s rows. A cascade that does not exist gives the weighted ensemble.
Chosen choose(const Problem& problem, Selector& selector, Procedure procedure, const CascadeOptions& options);

/// What the ensemble loses of its score without each member, at least 0, in the order of `picks`; 0 for a single one.
std::vector<double> gains_of(Selector& selector, const Picks& picks);

}  // namespace whimbrel
