// What a plan chooses from: models with their scores on validation recordings, and what they cost on a workload.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "whimbrel/score.h"

namespace whimbrel {

/// One form of one model, measured.
struct Candidate {
  std::string name;
  std::size_t model = 0;      // forms of one model share it; an ensemble holds one of them at most
  std::size_t front_end = 0;  // what it is fed; members that share one pay for it once
  double cost_s = 0;          // of one worker for a window
  double startup_s = 0;
  std::vector<float> scores;  // [rows, classes], probabilities
};

struct Validation {
  std::size_t classes = 0;
  std::vector<std::uint8_t> truth;      // [rows, classes]
  std::vector<std::size_t> recordings;  // of each row, in order

  std::size_t rows() const { return recordings.size(); }
};

/// A run over the workload, as the sum of its parts.
struct CostModel {
  double start_s = 0;               // of the process, without its models
  double decode_s = 0;              // of one worker for a window, with writing
  std::vector<double> front_end_s;  // of one worker for a window, by front end
  std::int64_t windows = 0;
  int workers = 1;
  double slowdown = 1;  // whole runs by the parts' sum
};

/// An ensemble: how often each candidate was chosen, which is its weight. Not empty.
using Picks = std::map<std::size_t, int>;

/// Where only a share of the windows goes past one cheap member.
struct PassShare {
  std::size_t gate = 0;
  double share = 1;
};

struct Problem {
  std::vector<Candidate> candidates;
  Validation validation;
  CostModel cost;
  Metric metric = Metric::macro_roc_auc;
  double budget_s = 0;

  /// Expected wall time; front ends are paid for every window, by a cascade too.
  double wall_s(const Picks& picks, const std::optional<PassShare>& pass = std::nullopt) const;
  bool fits(const Picks& picks) const { return wall_s(picks) <= budget_s; }
  /// Weighted mean [rows, classes].
  std::vector<float> mean_scores(const Picks& picks) const;
  /// nullopt where no class can be scored.
  std::optional<double> score(const std::vector<float>& scores) const;
  /// The same with the rows of these recordings alone.
  Problem with_recordings(const std::function<bool(std::size_t recording)>& wanted) const;
};

/// Divided by the greatest common divisor: {a: 2, b: 4} is the ensemble {a: 1, b: 2}.
Picks reduced(Picks picks);

/// Calls work(0) ... work(count - 1) from as many threads as there are cores. @throws what a call threw first
void in_parallel(std::size_t count, const std::function<void(std::size_t)>& work);

}  // namespace whimbrel
