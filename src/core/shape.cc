#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>
#include <numeric>

#include "whimbrel/core.h"

namespace whimbrel {

std::int64_t element_count(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::string to_string(const Shape& shape) {
  std::vector<std::string> axes;
  axes.reserve(shape.size());
  for (const auto axis : shape) axes.push_back(axis < 0 ? "?" : fmt::to_string(axis));
  return fmt::format("[{}]", fmt::join(axes, ", "));
}

}  // namespace whimbrel
