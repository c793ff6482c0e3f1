// Scores of an ensemble's members -> one.
#pragma once

#include <span>
#include <vector>

#include "whimbrel/pipeline.h"

namespace whimbrel {

/// Weighted mean of one window's probabilities, added up in member order so that the bits never depend on timing. The only one
/// of a window is its mean, to the bit.
/// @param kind     not Mean::rank, which needs all rows of a run: see RankMean
/// @param power    of Mean::power, above 0
/// @param weights  one a member, above 0
/// @param rows     one [classes] row a member; empty: the member did not score this window, and has no share in its mean
/// @throws Error{internal} where no member scored it, or for Mean::rank
void combine(Mean kind, double power, std::span<const double> weights, std::span<const std::vector<float>> rows,
             std::span<float> out);

}  // namespace whimbrel
