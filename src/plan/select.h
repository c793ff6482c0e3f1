// Which ensemble scores best on given rows within the budget.
#pragma once

#include <map>
#include <vector>

#include "plan/candidates.h"

namespace whimbrel {

/// Greedy selection with replacement under a cost (Caruana, Niculescu-Mizil, Crew, Ksikes: Ensemble Selection from Libraries of
/// Models, 2004). Scores of ensembles are kept, so that asking again for another budget costs little. Not thread-safe;
/// `problem` must outlive it.
class Selector {
 public:
  /// @throws Error{invalid_argument} where no class of `problem` can be scored
  explicit Selector(const Problem& problem) : problem_(problem) {}

  /// All are the best that fit `budget_s`, or empty when not even the cheapest candidate does.
  Picks best_single(double budget_s);
  /// Each member once.
  Picks best_equal(double budget_s);
  /// With weights. Never worse on these rows than the other two.
  Picks best_weighted(double budget_s);

  double score(const Picks& picks);

 private:
  enum class Replacement { no, yes };
  Picks best_grown(const std::vector<Picks>& starts, Replacement replacement, double budget_s);
  Picks grow(Picks start, Replacement replacement, double budget_s);
  Picks best_of(const std::vector<Picks>& trials);
  std::vector<Picks> singles(double budget_s) const;
  bool may_add(const Picks& picks, std::size_t candidate) const;

  const Problem& problem_;
  std::map<Picks, double> known_;
};

}  // namespace whimbrel
