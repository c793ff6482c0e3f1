// Scores of predictions against truth, and agreement between two outputs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
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

/// Where the detections of a class (scores at or above `threshold`) have the highest F1; of equal ones the highest threshold.
struct BestThreshold {
  float threshold = 0;  // one of the scores
  double f1 = 0;
  double precision = 0;
  double recall = 0;
};

/// @return nullopt without positives. Parameters and errors as roc_auc().
std::optional<BestThreshold> best_threshold(std::span<const float> scores, std::span<const std::uint8_t> truth);

enum class Metric {
  macro_roc_auc,  // mean of roc_auc() over classes with positives and negatives (BirdCLEF 2024, 2025)
  padded_cmap,    // mean average_precision() of all classes after five all-positive rows of score 1 (BirdCLEF 2023)
  macro_ap,       // mean of average_precision() over classes with positives
  micro_ap,       // average_precision() of all cells as one class
};
std::string_view to_string(Metric metric);
/// @throws Error{invalid_argument} for an unknown name (with the closest)
Metric metric_from_string(std::string_view name);

/// One number for a table, for those who ask thousands of times: costs a sort of every class and nothing else.
/// @param scores   [rows, classes] row-major, no NaN; higher is more likely
/// @param truth    [rows, classes], 0 or not
/// @throws Error{invalid_argument} when no class has positives (for macro_roc_auc: both positives and negatives), for a NaN, or
/// for sizes that do not fit
double metric_value(Metric metric, std::span<const float> scores, std::span<const std::uint8_t> truth, std::size_t classes);

struct ClassScore {
  std::string name;
  std::int64_t positives = 0;
  std::optional<double> roc_auc;
  std::optional<double> average_precision;
  std::optional<BestThreshold> best;
};

struct Scores {
  double macro_roc_auc = 0;  // as Metric says; likewise the next three
  double padded_cmap = 0;
  double macro_ap = 0;
  double micro_ap = 0;
  double threshold = 0;  // that the next two belong to, compared as float32
  double macro_f1 = 0;   // mean over classes with positives; a class without detections has 0
  double micro_f1 = 0;   // of all cells as one class
  std::int64_t rows = 0;
  std::int64_t classes_scored = 0;          // in macro_roc_auc
  std::int64_t classes_with_positives = 0;  // in macro_ap and macro_f1
  std::vector<ClassScore> per_class;        // in the table's order
};

/// @param threshold  scores at or above it are detections of macro_f1 and micro_f1
/// @throws Error{invalid_argument} when no class has both positive and negative rows, for a NaN, or for sizes that do not fit
Scores score_table(const ScoredTable& table, double threshold = 0.5);

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
