#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "whimbrel/pipeline.h"

namespace whimbrel {
namespace {

template <class Value>
using Words = std::vector<std::pair<std::string, Value>>;

const Words<Mean> kMeans = {
    {"arithmetic", Mean::arithmetic}, {"geometric", Mean::geometric}, {"power", Mean::power}, {"rank", Mean::rank}};
const Words<Prior> kPriors = {{"none", Prior::none}, {"max", Prior::max}, {"mean", Prior::mean}};

template <class Value>
Value value_of(std::string_view option, std::string_view found, const Words<Value>& words) {
  std::vector<std::string> known;
  for (const auto& [word, value] : words) {
    if (word == found) return value;
    known.push_back(word);
  }
  const auto closest = closest_word(std::string(found), known);
  throw Error(ErrorCode::invalid_argument, fmt::format("{} {}, expected one of {}{}", option, found, fmt::join(known, ", "),
                                                       closest.empty() ? "" : fmt::format("; did you mean \"{}\"?", closest)));
}

template <class Value>
std::string_view word_of(Value value, const Words<Value>& words) {
  return std::ranges::find(words, value, &std::pair<std::string, Value>::second)->first;
}

}  // namespace

Mean mean_from_string(std::string_view word) { return value_of("--mean", word, kMeans); }
Prior prior_from_string(std::string_view word) { return value_of("--prior", word, kPriors); }
std::string_view to_string(Mean mean) { return word_of(mean, kMeans); }
std::string_view to_string(Prior prior) { return word_of(prior, kPriors); }

}  // namespace whimbrel
