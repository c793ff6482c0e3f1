// Predictions beside truth: what `whimbrel score` reads.
#pragma once

#include <filesystem>

#include "whimbrel/score.h"

namespace whimbrel {

/// Joins a submission with one-hot truth of the same layout (`row_id`, then one column a class) by row id and class name; rows
/// and classes of the result are in the truth's order, whatever the order of the predictions.
///
/// @param predictions  finite scores
/// @param truth        0 or 1
/// @throws Error{not_found}; Error{invalid_argument} for a class or row that only one side has (naming the first and how many),
/// a row id twice, or a value out of range, with file, line and column Memory: the result and an index of row ids.
ScoredTable join_predictions(const std::filesystem::path& predictions, const std::filesystem::path& truth);

}  // namespace whimbrel
