#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "whimbrel/core.h"

namespace whimbrel {

std::int64_t size_from_string(std::string_view text) {
  struct Unit {
    std::string_view word;
    double bytes;
  };
  constexpr std::array kUnits = {Unit{"", 1},        Unit{"k", 1e3},    Unit{"K", 1e3},     Unit{"M", 1e6},
                                 Unit{"G", 1e9},     Unit{"T", 1e12},   Unit{"Ki", 0x1p10}, Unit{"Mi", 0x1p20},
                                 Unit{"Gi", 0x1p30}, Unit{"Ti", 0x1p40}};
  constexpr double kMost = 0x1p62;
  double value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  auto word = text.substr(static_cast<std::size_t>(end - text.data()));
  if (word.ends_with('B')) word.remove_suffix(1);
  for (const auto& unit : kUnits) {
    const double bytes = value * unit.bytes;
    if (failed == std::errc() && word == unit.word && bytes >= 1 && bytes < kMost) return std::llround(bytes);
  }
  throw Error(ErrorCode::invalid_argument, fmt::format("size \"{}\", expected such as 2G, 500M, 1.5GB or 512Mi", text));
}

std::string size_to_string(std::int64_t bytes) {
  return bytes < 10'000'000'000 ? fmt::format("{:.0f} MB", std::ceil(static_cast<double>(bytes) / 1e6))
                                : fmt::format("{:.1f} GB", static_cast<double>(bytes) / 1e9);
}

}  // namespace whimbrel
