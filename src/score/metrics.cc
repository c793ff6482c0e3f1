#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "whimbrel/score.h"

namespace whimbrel {
namespace {

/// Rows that the BirdCLEF 2023 metric adds, so that a class without positives is defined and rare classes weigh less.
/// Source: kaggle.com/competitions/birdclef-2023, padded cmAP, padding_factor=5.
constexpr std::size_t kPadding = 5;

std::int64_t count_positives(std::span<const std::uint8_t> truth) {
  return std::count_if(truth.begin(), truth.end(), [](std::uint8_t t) { return t != 0; });
}

/// A NaN has no place in any order: sorting with one is undefined.
void check_column(std::span<const float> scores, std::span<const std::uint8_t> truth) {
  if (scores.size() != truth.size()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} scores for {} truths, expected as many", scores.size(), truth.size()));
  }
  const auto nan = std::find_if(scores.begin(), scores.end(), [](float score) { return std::isnan(score); });
  if (nan != scores.end()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("score {} is NaN, expected a number; was the model's output checked?", nan - scores.begin()));
  }
}

void check_sizes(const ScoredTable& table) {
  const std::size_t rows = table.rows.size(), classes = table.classes.size();
  if (table.scores.size() == rows * classes && table.truth.size() == rows * classes) return;
  throw Error(ErrorCode::invalid_argument, fmt::format("{} scores and {} truths, expected {} rows x {} classes of each",
                                                       table.scores.size(), table.truth.size(), rows, classes));
}

/// Rows of one class, best score first.
std::vector<std::size_t> best_first(std::span<const float> scores) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  return order;
}

/// Calls `take(positives, negatives)` for each group of equal scores, best first.
template <class Take>
void each_tie(std::span<const float> scores, std::span<const std::uint8_t> truth, Take take) {
  check_column(scores, truth);
  const auto order = best_first(scores);
  for (std::size_t begin = 0; begin < order.size();) {
    std::int64_t positives = 0, negatives = 0;
    std::size_t end = begin;
    for (; end < order.size() && scores[order[end]] == scores[order[begin]]; ++end)
      ++(truth[order[end]] != 0 ? positives : negatives);
    take(positives, negatives);
    begin = end;
  }
}

}  // namespace

std::optional<double> roc_auc(std::span<const float> scores, std::span<const std::uint8_t> truth) {
  std::int64_t positives = 0, negatives = 0;
  double won = 0;  // pairs in which the positive ranks above the negative, a tie counting half
  each_tie(scores, truth, [&](std::int64_t p, std::int64_t n) {
    won += static_cast<double>(positives) * static_cast<double>(n) + 0.5 * static_cast<double>(p) * static_cast<double>(n);
    positives += p;
    negatives += n;
  });
  if (positives == 0 || negatives == 0) return std::nullopt;
  return won / (static_cast<double>(positives) * static_cast<double>(negatives));
}

std::optional<double> average_precision(std::span<const float> scores, std::span<const std::uint8_t> truth) {
  const auto all = count_positives(truth);
  std::int64_t positives = 0, seen = 0;
  double sum = 0;
  each_tie(scores, truth, [&](std::int64_t p, std::int64_t n) {
    positives += p;
    seen += p + n;
    sum += static_cast<double>(p) / static_cast<double>(all) * (static_cast<double>(positives) / static_cast<double>(seen));
  });
  if (all == 0) return std::nullopt;
  return sum;
}

Scores score_table(const ScoredTable& table) {
  check_sizes(table);
  const std::size_t rows = table.rows.size(), classes = table.classes.size();
  Scores result;
  result.rows = static_cast<std::int64_t>(rows);
  double auc_sum = 0, padded_sum = 0;
  for (std::size_t c = 0; c < classes; ++c) {
    std::vector<float> scores(rows);
    std::vector<std::uint8_t> truth(rows);
    for (std::size_t r = 0; r < rows; ++r) {
      scores[r] = table.scores[r * classes + c];
      truth[r] = table.truth[r * classes + c];
    }
    ClassScore score{
        .name = table.classes[c], .roc_auc = roc_auc(scores, truth), .average_precision = average_precision(scores, truth)};
    score.positives = count_positives(truth);
    if (score.roc_auc) {
      auc_sum += *score.roc_auc;
      ++result.classes_scored;
    }
    scores.insert(scores.end(), kPadding, 1.0F);
    truth.insert(truth.end(), kPadding, 1);
    padded_sum += *average_precision(scores, truth);
    result.per_class.push_back(std::move(score));
  }
  if (result.classes_scored == 0) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format(
            "no class of {} has both positive and negative rows among {}, expected at least one; is this the right truth?",
            classes, rows));
  }
  result.macro_roc_auc = auc_sum / static_cast<double>(result.classes_scored);
  result.padded_cmap = padded_sum / static_cast<double>(classes);
  return result;
}

}  // namespace whimbrel
