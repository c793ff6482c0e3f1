#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "whimbrel/score.h"

namespace whimbrel {
namespace {

void check_pair(std::span<const float> reference, std::span<const float> other, std::size_t classes) {
  if (classes == 0 || reference.size() != other.size() || reference.size() % classes != 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} and {} scores of {} classes, expected as many of both, in whole rows", reference.size(),
                            other.size(), classes));
  }
  const auto is_nan = [](float x) { return std::isnan(x); };
  if (std::ranges::any_of(reference, is_nan) || std::ranges::any_of(other, is_nan)) {
    throw Error(ErrorCode::invalid_argument, "a score is NaN, expected numbers; was the model's output checked?");
  }
}

}  // namespace

Agreement agreement(std::span<const float> reference, std::span<const float> other, std::size_t classes, double threshold) {
  check_pair(reference, other, classes);
  Agreement result;
  const std::size_t rows = reference.size() / classes;
  std::int64_t same = 0;
  std::int64_t same_confident = 0;
  std::int64_t both = 0;
  std::int64_t either = 0;  // detections of the one plus those of the other
  for (std::size_t r = 0; r < rows; ++r) {
    const auto a = reference.subspan(r * classes, classes);
    const auto b = other.subspan(r * classes, classes);
    const auto best = std::ranges::max_element(a);
    const bool agrees = best - a.begin() == std::ranges::max_element(b) - b.begin();
    same += agrees ? 1 : 0;
    if (*best >= threshold) {
      ++result.confident_rows;
      same_confident += agrees ? 1 : 0;
    }
    for (std::size_t c = 0; c < classes; ++c) {
      both += a[c] >= threshold && b[c] >= threshold ? 1 : 0;
      either += (a[c] >= threshold ? 1 : 0) + (b[c] >= threshold ? 1 : 0);
    }
  }
  if (rows > 0) result.top1 = static_cast<double>(same) / static_cast<double>(rows);
  if (result.confident_rows > 0) {
    result.top1_confident = static_cast<double>(same_confident) / static_cast<double>(result.confident_rows);
  }
  if (either > 0) result.detections_f1 = 2.0 * static_cast<double>(both) / static_cast<double>(either);
  return result;
}

double sqnr_db(std::span<const float> reference, std::span<const float> other) {
  check_pair(reference, other, 1);
  double signal = 0;
  double noise = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double difference = static_cast<double>(reference[i]) - static_cast<double>(other[i]);
    signal += static_cast<double>(reference[i]) * static_cast<double>(reference[i]);
    noise += difference * difference;
  }
  if (noise == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(signal / noise);
}

}  // namespace whimbrel
