// Small matrices to choose ensembles on.
#pragma once

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "plan/procedures.h"

namespace whimbrel {

/// A problem whose truth is drawn, `recordings` of `rows` windows each; every window costs nothing but its models.
inline Problem drawn_problem(std::size_t recordings, std::size_t rows, std::size_t classes, double positives, unsigned seed) {
  std::mt19937 random(seed);
  std::bernoulli_distribution calls(positives);
  Problem problem;
  problem.validation.classes = classes;
  for (std::size_t i = 0; i < recordings * rows; ++i) {
    problem.validation.recordings.push_back(i / rows);
    for (std::size_t c = 0; c < classes; ++c) problem.validation.truth.push_back(calls(random) ? 1 : 0);
  }
  problem.cost = {.front_end_s = {0}, .windows = 1, .workers = 1};
  problem.budget_s = 1e9;
  return problem;
}

/// A model that hears the truth through noise: sigma 0 knows it, a large one knows nothing.
inline Candidate noisy(const Problem& problem, const std::string& name, double cost_s, double sigma, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> noise(0, 1);
  Candidate candidate{.name = name, .model = problem.candidates.size(), .cost_s = cost_s};
  for (const auto truth : problem.validation.truth) {
    const double x = (truth != 0 ? 2.0 : -2.0) + sigma * noise(random);
    candidate.scores.push_back(static_cast<float>(1 / (1 + std::exp(-x))));
  }
  return candidate;
}

inline Comparison compare(const Problem& problem, const CascadeOptions& options) {
  Selector selector(problem);
  return compare_procedures(problem, selector, options);
}

}  // namespace whimbrel
