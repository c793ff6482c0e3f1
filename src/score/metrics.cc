#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "whimbrel/score.h"

namespace whimbrel {
namespace {

/// Rows that the BirdCLEF 2023 metric adds, so that a class without positives is defined and rare classes weigh less.
/// Source: kaggle.com/competitions/birdclef-2023, padded cmAP, padding_factor=5.
constexpr std::size_t kPadding = 5;

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

/// How many positive and negative rows share one score.
struct Tie {
  std::int64_t positives = 0;
  std::int64_t negatives = 0;
};

/// The distinct scores of a class, best first.
std::vector<Tie> ties_of(std::span<const float> scores, std::span<const std::uint8_t> truth) {
  check_column(scores, truth);
  std::vector<std::pair<float, bool>> rows;
  rows.reserve(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) rows.emplace_back(scores[i], truth[i] != 0);
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<Tie> ties;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i == 0 || rows[i].first != rows[i - 1].first) ties.emplace_back();
    ++(rows[i].second ? ties.back().positives : ties.back().negatives);
  }
  return ties;
}

std::int64_t count_positives(const std::vector<Tie>& ties) {
  return std::accumulate(ties.begin(), ties.end(), std::int64_t{0},
                         [](std::int64_t n, const Tie& tie) { return n + tie.positives; });
}

std::optional<double> roc_auc(const std::vector<Tie>& ties) {
  std::int64_t positives = 0, negatives = 0;
  double won = 0;  // pairs in which the positive ranks above the negative, a tie counting half: exact below 2^52
  for (const auto& [p, n] : ties) {
    won += static_cast<double>(positives) * static_cast<double>(n) + 0.5 * static_cast<double>(p) * static_cast<double>(n);
    positives += p;
    negatives += n;
  }
  if (positives == 0 || negatives == 0) return std::nullopt;
  return won / (static_cast<double>(positives) * static_cast<double>(negatives));
}

std::optional<double> average_precision(const std::vector<Tie>& ties) {
  const auto all = count_positives(ties);
  if (all == 0) return std::nullopt;
  std::int64_t positives = 0, seen = 0;
  double sum = 0;
  for (const auto& [p, n] : ties) {
    positives += p;
    seen += p + n;
    sum += static_cast<double>(p) / static_cast<double>(all) * (static_cast<double>(positives) / static_cast<double>(seen));
  }
  return sum;
}

}  // namespace

std::optional<double> roc_auc(std::span<const float> scores, std::span<const std::uint8_t> truth) {
  return roc_auc(ties_of(scores, truth));
}

std::optional<double> average_precision(std::span<const float> scores, std::span<const std::uint8_t> truth) {
  return average_precision(ties_of(scores, truth));
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
    const auto ties = ties_of(scores, truth);
    ClassScore score{table.classes[c], count_positives(ties), roc_auc(ties), average_precision(ties)};
    if (score.roc_auc) {
      auc_sum += *score.roc_auc;
      ++result.classes_scored;
    }
    scores.insert(scores.end(), kPadding, 1.0F);
    truth.insert(truth.end(), kPadding, 1);
    padded_sum += average_precision(scores, truth).value_or(0);  // the padding is positive: there always is one
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
