#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "whimbrel/core.h"

namespace whimbrel {
namespace {

struct Unit {
  std::string_view word;
  double seconds;
};

constexpr std::array kUnits = {Unit{"h", 3600}, Unit{"min", 60}, Unit{"ms", 1e-3}, Unit{"m", 60}, Unit{"s", 1}};

/// The unit that `text` begins with and that ends there or at a digit; nullptr without one.
const Unit* unit_at(std::string_view text) {
  for (const auto& unit : kUnits) {
    if (!text.starts_with(unit.word)) continue;
    const auto rest = text.substr(unit.word.size());
    if (rest.empty() || (rest[0] >= '0' && rest[0] <= '9')) return &unit;
  }
  return nullptr;
}

}  // namespace

double duration_from_string(std::string_view text) {
  const Error refused(ErrorCode::invalid_argument,
                      fmt::format("duration \"{}\", expected such as 2h, 1h30m, 90min or 45s", text));
  double seconds = 0;
  double last_unit = INFINITY;
  std::string_view rest = text;
  while (!rest.empty()) {
    double value = 0;
    const auto [end, failed] = std::from_chars(rest.data(), rest.data() + rest.size(), value, std::chars_format::fixed);
    if (failed != std::errc() || !std::isfinite(value) || value < 0) throw refused;
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    if (rest.empty() && last_unit == INFINITY) {
      seconds = value;  // a bare number is seconds
      break;
    }
    const Unit* unit = unit_at(rest);
    if (unit == nullptr || unit->seconds >= last_unit) throw refused;
    rest.remove_prefix(unit->word.size());
    last_unit = unit->seconds;
    seconds += value * unit->seconds;
  }
  if (!(seconds > 0)) throw refused;
  return seconds;
}

}  // namespace whimbrel
