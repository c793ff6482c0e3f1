// Scores of a window -> its detections.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "pipeline/detection.h"
#include "whimbrel/audio.h"

namespace whimbrel {

struct Hit {
  std::size_t label = 0;
  float score = 0;

  bool operator==(const Hit&) const = default;
};

/// Scores at or above their class's threshold, highest first, equal ones in label order; at most top_k (0: all).
/// Thresholds are float32: a score of 0.7f is not above 0.7, and the user who typed 0.7 means it.
std::vector<Hit> hits_of(std::span<const float> scores, std::span<const float> thresholds, int top_k);

/// Thread-safe.
class Detector {
 public:
  /// @throws Error{invalid_argument} for a threshold that is NaN or a negative top_k
  Detector(const WindowGrid& grid, std::vector<float> thresholds, int top_k);

  /// Detections of window `index`, best first.
  void window(std::int64_t index, std::span<const float> scores, const TakeDetection& take) const;

 private:
  WindowGrid grid_;
  std::vector<float> thresholds_;  // per class
  int top_k_;
};

}  // namespace whimbrel
