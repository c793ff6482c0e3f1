// Medians, percentiles and their intervals.
#pragma once

#include <vector>

#include "whimbrel/plan.h"

namespace whimbrel::plan {

/// Linear between the values' ranks, as NumPy does it. @param values  not empty
double percentile(std::vector<double> values, double share);

/// Median with the narrowest interval between two of the values that holds the true median with at least 95 % probability,
/// whatever the distribution: the number of values below it is binomial. All values, where they are fewer than six.
Estimate median_of(std::vector<double> values);

/// True if the two intervals have no value in common.
bool are_apart(const Estimate& a, const Estimate& b);

}  // namespace whimbrel::plan
