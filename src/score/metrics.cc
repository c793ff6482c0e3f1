#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "score/ranking.h"
#include "whimbrel/score.h"

namespace whimbrel {
namespace {

/// Rows that the BirdCLEF 2023 metric adds, so that a class without positives is defined and rare classes weigh less.
/// Source: kaggle.com/competitions/birdclef-2023, padded cmAP, padding_factor=5.
constexpr std::int64_t kPadding = 5;
constexpr float kPaddingScore = 1;

constexpr std::array<std::pair<Metric, std::string_view>, 4> kNames = {{{Metric::macro_roc_auc, "macro_roc_auc"},
                                                                        {Metric::padded_cmap, "padded_cmap"},
                                                                        {Metric::macro_ap, "macro_ap"},
                                                                        {Metric::micro_ap, "micro_ap"}}};

using Ties = std::span<const Tie>;

void check_lengths(std::span<const float> scores, std::span<const std::uint8_t> truth) {
  if (scores.size() == truth.size()) return;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{} scores for {} truths, expected as many", scores.size(), truth.size()));
}

void check_sizes(const ScoredTable& table) {
  const std::size_t rows = table.rows.size(), classes = table.classes.size();
  if (table.scores.size() == rows * classes && table.truth.size() == rows * classes) return;
  throw Error(ErrorCode::invalid_argument, fmt::format("{} scores and {} truths, expected {} rows x {} classes of each",
                                                       table.scores.size(), table.truth.size(), rows, classes));
}

std::int64_t count_positives(Ties ties) {
  return std::accumulate(ties.begin(), ties.end(), std::int64_t{0},
                         [](std::int64_t n, const Tie& tie) { return n + tie.positives; });
}

std::optional<double> roc_auc(Ties ties) {
  std::int64_t positives = 0, negatives = 0;
  double won = 0;  // pairs in which the positive ranks above the negative, a tie counting half: exact below 2^52
  for (const auto& [score, p, n] : ties) {
    won += static_cast<double>(positives) * static_cast<double>(n) + 0.5 * static_cast<double>(p) * static_cast<double>(n);
    positives += p;
    negatives += n;
  }
  if (positives == 0 || negatives == 0) return std::nullopt;
  return won / (static_cast<double>(positives) * static_cast<double>(negatives));
}

/// @param padding  positive rows of kPaddingScore that are counted too
std::optional<double> average_precision(Ties ties, std::int64_t padding = 0) {
  const auto all = count_positives(ties) + padding;
  if (all == 0) return std::nullopt;
  std::int64_t positives = 0, seen = 0;
  double sum = 0;
  const auto take = [&](std::int64_t p, std::int64_t n) {
    positives += p;
    seen += p + n;
    if (p == 0) return;
    sum += static_cast<double>(p) / static_cast<double>(all) * (static_cast<double>(positives) / static_cast<double>(seen));
  };
  for (const auto& [score, p, n] : ties) {
    if (score < kPaddingScore) take(std::exchange(padding, 0), 0);
    take(p + (score == kPaddingScore ? std::exchange(padding, 0) : 0), n);
  }
  take(padding, 0);
  return sum;
}

std::optional<BestThreshold> best_threshold(Ties ties) {
  const auto all = count_positives(ties);
  if (all == 0) return std::nullopt;
  BestThreshold best{.f1 = -1};
  std::int64_t hits = 0, taken = 0;
  for (const auto& [score, p, n] : ties) {
    hits += p;
    taken += p + n;
    const double f1 = 2.0 * static_cast<double>(hits) / static_cast<double>(taken + all);
    if (f1 <= best.f1) continue;
    best = {score, f1, static_cast<double>(hits) / static_cast<double>(taken),
            static_cast<double>(hits) / static_cast<double>(all)};
  }
  return best;
}

/// Detections of one or more classes.
struct Counts {
  std::int64_t positives = 0;
  std::int64_t detections = 0;
  std::int64_t hits = 0;

  Counts& operator+=(const Counts& other) {
    positives += other.positives;
    detections += other.detections;
    hits += other.hits;
    return *this;
  }
  double f1() const { return 2.0 * static_cast<double>(hits) / static_cast<double>(positives + detections); }
};

Counts detections_of(Ties ties, float threshold) {
  Counts counts;
  for (const auto& [score, p, n] : ties) {
    counts.positives += p;
    if (score < threshold) continue;
    counts.detections += p + n;
    counts.hits += p;
  }
  return counts;
}

struct Mean {
  double sum = 0;
  std::int64_t count = 0;

  void add(const std::optional<double>& value) {
    if (!value) return;
    sum += *value;
    ++count;
  }
  double value() const { return sum / static_cast<double>(count); }
};

[[noreturn]] void nothing_to_score(std::string_view lacks, std::size_t classes, std::size_t rows) {
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format("no class of {} has {} among {}, expected at least one; is this the right truth?", classes, lacks, rows));
}

double macro_value(Metric metric, std::span<const float> scores, std::span<const std::uint8_t> truth, std::size_t classes) {
  Ranking ranking;
  Mean mean;
  bool any = false;
  for (std::size_t c = 0; c < classes; ++c) {
    const Ties ties = ranking.rank(scores, truth, c, classes);
    any = any || count_positives(ties) > 0;
    mean.add(metric == Metric::macro_roc_auc ? roc_auc(ties)
                                             : average_precision(ties, metric == Metric::padded_cmap ? kPadding : 0));
  }
  const std::size_t rows = classes == 0 ? 0 : scores.size() / classes;
  if (!any) nothing_to_score("positive rows", classes, rows);
  if (mean.count == 0) nothing_to_score("both positive and negative rows", classes, rows);
  return mean.value();
}

}  // namespace

std::string_view to_string(Metric metric) {
  return std::find_if(kNames.begin(), kNames.end(), [&](const auto& entry) { return entry.first == metric; })->second;
}

Metric metric_from_string(std::string_view name) {
  std::vector<std::string> names;
  for (const auto& [metric, text] : kNames) {
    if (text == name) return metric;
    names.emplace_back(text);
  }
  const auto close = closest_word(name, names);
  throw Error(ErrorCode::invalid_argument, fmt::format("metric \"{}\", expected one of {}{}", name, fmt::join(names, ", "),
                                                       close.empty() ? "" : fmt::format("; did you mean \"{}\"?", close)));
}

std::optional<double> roc_auc(std::span<const float> scores, std::span<const std::uint8_t> truth) {
  check_lengths(scores, truth);
  return roc_auc(Ranking().rank(scores, truth, 0, 1));
}

std::optional<double> average_precision(std::span<const float> scores, std::span<const std::uint8_t> truth) {
  check_lengths(scores, truth);
  return average_precision(Ranking().rank(scores, truth, 0, 1));
}

std::optional<BestThreshold> best_threshold(std::span<const float> scores, std::span<const std::uint8_t> truth) {
  check_lengths(scores, truth);
  return best_threshold(Ranking().rank(scores, truth, 0, 1));
}

double metric_value(Metric metric, std::span<const float> scores, std::span<const std::uint8_t> truth, std::size_t classes) {
  check_lengths(scores, truth);
  if (classes == 0 ? !scores.empty() : scores.size() % classes != 0) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{} scores, expected rows of {} classes", scores.size(), classes));
  }
  if (metric != Metric::micro_ap) return macro_value(metric, scores, truth, classes);
  const auto value = average_precision(scores, truth);
  if (!value) nothing_to_score("positive rows", classes, classes == 0 ? 0 : scores.size() / classes);
  return *value;
}

Scores score_table(const ScoredTable& table, double threshold) {
  check_sizes(table);
  const std::size_t rows = table.rows.size(), classes = table.classes.size();
  Scores result{.threshold = threshold, .rows = static_cast<std::int64_t>(rows)};
  Ranking ranking;
  Mean auc, padded, precision, f1;
  Counts pooled;
  for (std::size_t c = 0; c < classes; ++c) {
    const Ties ties = ranking.rank(table.scores, table.truth, c, classes);
    const auto counts = detections_of(ties, static_cast<float>(threshold));
    const auto& score = result.per_class.emplace_back(
        ClassScore{table.classes[c], counts.positives, roc_auc(ties), average_precision(ties), best_threshold(ties)});
    auc.add(score.roc_auc);
    padded.add(average_precision(ties, kPadding));
    precision.add(score.average_precision);
    if (counts.positives > 0) f1.add(counts.f1());
    pooled += counts;
  }
  if (auc.count == 0) nothing_to_score("both positive and negative rows", classes, rows);
  result.macro_roc_auc = auc.value();
  result.classes_scored = auc.count;
  result.padded_cmap = padded.value();
  result.macro_ap = precision.value();
  result.classes_with_positives = precision.count;
  result.micro_ap = metric_value(Metric::micro_ap, table.scores, table.truth, classes);
  result.macro_f1 = f1.value();
  result.micro_f1 = pooled.f1();
  return result;
}

}  // namespace whimbrel
