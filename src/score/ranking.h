// The distinct scores of one class, best first: all that a ranking metric needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace whimbrel {

/// How many positive and negative rows share one score.
struct Tie {
  float score = 0;
  std::int64_t positives = 0;
  std::int64_t negatives = 0;
};

/// Ranks one column after the other in the same memory. Not thread-safe.
class Ranking {
 public:
  /// @param scores  [rows, stride] row-major; `truth` likewise, 0 or not
  /// @return        valid until the next call
  /// @throws Error{invalid_argument} for a NaN
  std::span<const Tie> rank(std::span<const float> scores, std::span<const std::uint8_t> truth, std::size_t column,
                            std::size_t stride);

 private:
  void sort();

  std::vector<std::uint64_t> keys_;
  std::vector<std::uint64_t> spare_;
  std::vector<Tie> ties_;
};

}  // namespace whimbrel
