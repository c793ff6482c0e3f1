#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "whimbrel/pipeline.h"

namespace whimbrel {
namespace {

template <class Value>
Value value_of(std::string_view option, std::string_view found, const std::vector<std::pair<std::string, Value>>& words) {
  std::vector<std::string> known;
  for (const auto& [word, value] : words) {
    if (word == found) return value;
    known.push_back(word);
  }
  const auto closest = closest_word(std::string(found), known);
  throw Error(ErrorCode::invalid_argument, fmt::format("{} {}, expected one of {}{}", option, found, fmt::join(known, ", "),
                                                       closest.empty() ? "" : fmt::format("; did you mean \"{}\"?", closest)));
}

}  // namespace

Mean mean_from_string(std::string_view word) {
  return value_of<Mean>(
      "--mean", word,
      {{"arithmetic", Mean::arithmetic}, {"geometric", Mean::geometric}, {"power", Mean::power}, {"rank", Mean::rank}});
}

Prior prior_from_string(std::string_view word) {
  return value_of<Prior>("--prior", word, {{"none", Prior::none}, {"max", Prior::max}, {"mean", Prior::mean}});
}

}  // namespace whimbrel
