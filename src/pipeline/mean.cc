#include "pipeline/mean.h"

#include <algorithm>
#include <cmath>

namespace whimbrel {
namespace {

/// What the logarithm of a probability sees at least: a member that rounds to 0 must not decide alone.
constexpr double kLeastProbability = 1e-12;

/// out = after(sum of weight * before(p) / sum of weights)
template <class Before, class After>
void mean_of(std::span<const double> weights, std::span<const std::vector<float>> rows, std::span<float> out, Before before,
             After after) {
  double total = 0;
  for (std::size_t m = 0; m < rows.size(); ++m) total += rows[m].empty() ? 0 : weights[m];
  for (std::size_t c = 0; c < out.size(); ++c) {
    double sum = 0;
    for (std::size_t m = 0; m < rows.size(); ++m) {
      if (!rows[m].empty()) sum += weights[m] * before(rows[m][c]);
    }
    out[c] = static_cast<float>(after(sum / total));
  }
}

}  // namespace

void combine(Mean kind, double power, std::span<const double> weights, std::span<const std::vector<float>> rows,
             std::span<float> out) {
  const auto is_there = [](const std::vector<float>& row) { return !row.empty(); };
  const auto count = std::count_if(rows.begin(), rows.end(), is_there);
  if (count == 0) throw Error(ErrorCode::internal, "mean of no member's scores, expected one; report this as a bug");
  if (count == 1) {
    const auto& only = *std::find_if(rows.begin(), rows.end(), is_there);
    std::copy_n(only.begin(), out.size(), out.begin());
    return;
  }
  switch (kind) {
    case Mean::arithmetic:
      return mean_of(weights, rows, out, [](float p) { return p; }, [](double mean) { return mean; });
    case Mean::geometric:
      return mean_of(
          weights, rows, out, [](float p) { return std::log(std::max<double>(p, kLeastProbability)); },
          [](double mean) { return std::exp(mean); });
    case Mean::power:
      return mean_of(
          weights, rows, out, [power](float p) { return std::pow(std::max<double>(p, 0), power); },
          [power](double mean) { return std::pow(mean, 1 / power); });
    case Mean::rank:
      break;
  }
  throw Error(ErrorCode::internal, "ranks of one window, expected those of a run; report this as a bug");
}

}  // namespace whimbrel
