#include <algorithm>
#include <numeric>

#include "whimbrel/core.h"

namespace whimbrel {
namespace {

/// Levenshtein distance (1966), one row at a time.
std::size_t edits_between(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

}  // namespace

std::string closest_word(std::string_view word, const std::vector<std::string>& candidates) {
  // Comparing costs the product of both lengths, and nobody mistypes a text of this size: it comes from a broken file.
  constexpr std::size_t kLongest = 256;
  std::string best;
  std::size_t best_edits = 3;
  if (word.size() > kLongest) return best;
  for (const auto& candidate : candidates) {
    if (candidate.size() > kLongest) continue;
    // Two edits turn any word of two letters into any other: a suggestion must keep more than it changes.
    const std::size_t edits = edits_between(word, candidate);
    if (edits < best_edits && edits * 2 < std::max(word.size(), candidate.size())) {
      best = candidate;
      best_edits = edits;
    }
  }
  return best;
}

}  // namespace whimbrel
