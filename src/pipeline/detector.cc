#include "pipeline/detector.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace whimbrel {

std::vector<Hit> hits_of(std::span<const float> scores, std::span<const float> thresholds, int top_k) {
  std::vector<Hit> hits;
  for (std::size_t label = 0; label < scores.size(); ++label) {
    if (scores[label] >= thresholds[label]) hits.push_back({label, scores[label]});
  }
  std::stable_sort(hits.begin(), hits.end(), [](const Hit& a, const Hit& b) { return a.score > b.score; });
  if (top_k > 0 && hits.size() > static_cast<std::size_t>(top_k)) hits.resize(static_cast<std::size_t>(top_k));
  return hits;
}

Detector::Detector(const WindowGrid& grid, std::vector<float> thresholds, int top_k)
    : grid_(grid), thresholds_(std::move(thresholds)), top_k_(top_k) {
  const auto require = [](bool good, const std::string& message) {
    if (!good) throw Error(ErrorCode::invalid_argument, message);
  };
  for (const float threshold : thresholds_) {
    require(!std::isnan(threshold), fmt::format("threshold={}, expected a number such as 0.1", threshold));
  }
  require(top_k >= 0, fmt::format("top_k={}, expected 1 or more, or 0 for all", top_k));
}

void Detector::window(std::int64_t index, std::span<const float> scores, const TakeDetection& take) const {
  const std::int64_t start = index * grid_.hop_samples;
  for (const Hit& hit : hits_of(scores, thresholds_, top_k_)) {
    take({start, start + grid_.window_samples, static_cast<std::uint32_t>(hit.label), hit.score});
  }
}

}  // namespace whimbrel
