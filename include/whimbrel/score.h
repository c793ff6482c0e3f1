// Scores of predictions against truth, and agreement between two outputs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "whimbrel/core.h"

namespace whimbrel {

/// Predictions and truth over the same rows and classes, row-major [rows, classes].
struct ScoredTable {
  std::vector<std::string> classes;
  std::vector<std::string> rows;
  std::vector<float> scores;
  std::vector<std::uint8_t> truth;  // 0 or not
};

/// Area under the ROC curve by ranks, ties counted half (Mann–Whitney U); nullopt without both positives and negatives.
/// @param scores  [rows], no NaN; higher is more likely
/// @param truth   [rows], 0 or not
/// @throws Error{invalid_argument} for a NaN or different lengths
std::optional<double> roc_auc(std::span<const float> scores, std::span<const std::uint8_t> truth);

/// Average precision as scikit-learn defines it: sum of (R_n - R_{n-1}) P_n over distinct thresholds; nullopt without
/// positives. Parameters and errors as roc_auc().
std::optional<double> average_precision(std::span<const float> scores, std::span<const std::uint8_t> truth);

struct ClassScore {
  std::string name;
  std::int64_t positives = 0;
  std::optional<double> roc_auc;
  std::optional<double> average_precision;
};

struct Scores {
  double macro_roc_auc = 0;  // over classes with positives and negatives (BirdCLEF 2024, 2025)
  double padded_cmap = 0;    // macro average precision of all classes after five all-positive rows of score 1 (BirdCLEF 2023)
  std::int64_t rows = 0;
  std::int64_t classes_scored = 0;
  std::vector<ClassScore> per_class;
};

/// @throws Error{invalid_argument} when no class has both positive and negative rows, for a NaN, or for sizes that do not fit
Scores score_table(const ScoredTable& table);

/// How well one set of scores says the same as another one over the same rows.
struct Agreement {
  double top1 = 1;            // share of rows with the same best class
  double top1_confident = 1;  // the same over the rows in which the reference has a score at the threshold or above
  std::int64_t confident_rows = 0;
  /// F1 of the detections (scores at or above the threshold) with the reference's as truth; 1 where neither has any.
  double detections_f1 = 1;
};

/// @param reference  [rows, classes] row-major; `other` likewise
/// @throws Error{invalid_argument} for sizes that do not fit or a NaN
Agreement agreement(std::span<const float> reference, std::span<const float> other, std::size_t classes, double threshold);

/// Signal to quantization noise: 10 log10(sum of squares of the reference / of the differences); infinite where they are equal,
/// -infinite where only the reference is zero.
double sqnr_db(std::span<const float> reference, std::span<const float> other);

}  // namespace whimbrel
