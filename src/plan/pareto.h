// How much score each further minute buys.
#pragma once

#include <vector>

#include "plan/select.h"

namespace whimbrel {

struct FrontPoint {
  double wall_s = 0;
  double score = 0;  // on the rows that it was chosen by
  Picks picks;
};

/// The best ensembles for about a dozen budgets, from the cheapest model alone to all that the models can give; without those
/// that another one beats in both time and score. Sorted by time.
std::vector<FrontPoint> pareto_front(const Problem& problem, Selector& selector);

/// Keeps what no other point equals or beats in both, sorted by time.
std::vector<FrontPoint> undominated(std::vector<FrontPoint> points);

}  // namespace whimbrel
