// What follows from the rows of a bench together.
#pragma once

#include <string>
#include <vector>

#include "whimbrel/plan.h"

namespace whimbrel::plan {

/// What the FMA and the integer loop reached on each core, round after round.
struct Peaks {
  int cores = 1;
  std::vector<double> fma_per_s, integer_per_s;

  void measure();
};

/// What may be said of the two fastest rows, which are the first two.
/// @param unsteadiness  see BenchResult
std::string ranking_of(const BenchModel& model, double unsteadiness);

/// Fills in peaks, steadiness, each row's share of the peak, and each model's ranking.
void summarize(const Peaks& peaks, BenchResult& result);

}  // namespace whimbrel::plan
