#include "plan/statistics.h"

#include <algorithm>
#include <cmath>

namespace whimbrel::plan {
namespace {

double at_share(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const auto high = std::min(low + 1, sorted.size() - 1);
  return std::lerp(sorted[low], sorted[high], at - static_cast<double>(low));
}

}  // namespace

double percentile(std::vector<double> values, double share) {
  std::ranges::sort(values);
  return at_share(values, share);
}

Estimate median_of(std::vector<double> values) {
  constexpr double kMissed = 0.025;  // on either side
  std::ranges::sort(values);
  const auto n = values.size();
  double probability = std::pow(0.5, static_cast<double>(n));  // that k values lie below the median
  double missed = 0;
  std::size_t skipped = 0;
  for (std::size_t k = 0; k < n / 2; ++k) {
    missed += probability;
    if (missed > kMissed) break;
    skipped = k;
    probability *= static_cast<double>(n - k) / static_cast<double>(k + 1);
  }
  return {at_share(values, 0.5), values[skipped], values[n - 1 - skipped]};
}

bool are_apart(const Estimate& a, const Estimate& b) { return a.high < b.low || b.high < a.low; }

}  // namespace whimbrel::plan
