#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "whimbrel/score.h"

namespace whimbrel {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// Sums of at most a few hundred doubles in another order than scikit-learn's.
constexpr double kTolerance = 1e-12;

/// The table that the numbers below belong to, with many ties, scores outside of [0, 1], a class without positives (4) and one
/// without negatives (5).
ScoredTable lattice() {
  constexpr int kRows = 40, kClasses = 6;
  ScoredTable table;
  for (int c = 0; c < kClasses; ++c) table.classes.push_back("class " + std::to_string(c));
  for (int i = 0; i < kRows; ++i) {
    table.rows.push_back("row_" + std::to_string(i));
    for (int c = 0; c < kClasses; ++c) {
      table.scores.push_back(static_cast<float>((i * (7 + 2 * c) + 3 * c) % 23 - 3) / 16.0F);
      table.truth.push_back(c == 4 ? 0 : c == 5 || (i * i + 3 * c * i + c * c) % 11 < 2 + c);
    }
  }
  return table;
}

struct Known {
  std::int64_t positives;
  std::optional<double> roc_auc;
  std::optional<double> average_precision;
};

// scikit-learn 1.9.1: roc_auc_score and average_precision_score of lattice()'s columns as float32.
const Known kKnown[] = {
    {11, 0.2899686520376175, 0.2157955282357196},
    {15, 0.5359999999999999, 0.40929950488656924},
    {8, 0.515625, 0.2569878536715636},
    {21, 0.38721804511278196, 0.4593852826083156},
    {0, std::nullopt, std::nullopt},
    {40, std::nullopt, 1.0},
};

void expect_near(const std::optional<double>& found, const std::optional<double>& expected) {
  ASSERT_EQ(found.has_value(), expected.has_value());
  if (found) {
    EXPECT_NEAR(*found, *expected, kTolerance);
  }
}

/// Share of the pairs of a positive and a negative that are in order, by looking at all pairs.
double slow_roc_auc(const std::vector<float>& scores, const std::vector<std::uint8_t>& truth) {
  double won = 0, pairs = 0;
  for (std::size_t p = 0; p < scores.size(); ++p) {
    for (std::size_t n = 0; n < scores.size(); ++n) {
      if (truth[p] == 0 || truth[n] != 0) continue;
      won += scores[p] > scores[n] ? 1 : scores[p] == scores[n] ? 0.5 : 0;
      ++pairs;
    }
  }
  return won / pairs;
}

/// sum of (R_n - R_{n-1}) P_n, counting anew at each distinct threshold from the highest.
double slow_average_precision(const std::vector<float>& scores, const std::vector<std::uint8_t>& truth) {
  double sum = 0, recall_before = 0, positives = 0;
  for (const auto t : truth) positives += t;
  for (const float threshold : std::set<float, std::greater<>>(scores.begin(), scores.end())) {
    double hits = 0, taken = 0;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (scores[i] < threshold) continue;
      ++taken;
      hits += truth[i];
    }
    sum += (hits / positives - recall_before) * (hits / taken);
    recall_before = hits / positives;
  }
  return sum;
}

template <class F>
std::string refusal(F&& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

TEST(RocAuc, IsOneHalfWhenAllScoresTie) {
  EXPECT_EQ(roc_auc(std::vector<float>(5, 0.25F), std::vector<std::uint8_t>{1, 0, 0, 1, 0}), 0.5);
}

TEST(RocAuc, IsOneForAPerfectOrderAndZeroForItsReverse) {
  const std::vector<float> scores = {-2, 0.5F, 1, 30};
  EXPECT_EQ(roc_auc(scores, std::vector<std::uint8_t>{0, 0, 1, 1}), 1.0);
  EXPECT_EQ(roc_auc(scores, std::vector<std::uint8_t>{1, 1, 0, 0}), 0.0);
}

TEST(RocAuc, IsUndefinedWithoutBothPositivesAndNegatives) {
  const std::vector<float> scores = {0.1F, 0.2F};
  EXPECT_EQ(roc_auc(scores, std::vector<std::uint8_t>{0, 0}), std::nullopt);
  EXPECT_EQ(roc_auc(scores, std::vector<std::uint8_t>{1, 1}), std::nullopt);
  EXPECT_EQ(roc_auc({}, {}), std::nullopt);
}

TEST(RocAuc, OrdersInfiniteScores) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(roc_auc(std::vector<float>{-kInfinity, 0, kInfinity}, std::vector<std::uint8_t>{0, 0, 1}), 1.0);
}

TEST(AveragePrecision, CountsATieAsOneThreshold) {
  // By hand: threshold 0.9 takes one positive (P 1, R 1/2), threshold 0.5 takes all four (P 1/2, R 1).
  EXPECT_EQ(average_precision(std::vector<float>{0.5F, 0.9F, 0.5F, 0.5F}, std::vector<std::uint8_t>{1, 1, 0, 0}),
            0.5 * 1 + 0.5 * 0.5);
}

TEST(AveragePrecision, IsUndefinedWithoutPositives) {
  EXPECT_EQ(average_precision(std::vector<float>{0.1F, 0.2F}, std::vector<std::uint8_t>{0, 0}), std::nullopt);
}

TEST(Metrics, AgreeWithTheirDefinitionsOnRandomTables) {
  std::mt19937 random(7);
  for (int trial = 0; trial < 200; ++trial) {
    const std::size_t rows = 2 + random() % 60, levels = 1 + random() % 20;  // few levels: many ties
    std::vector<float> scores(rows);
    std::vector<std::uint8_t> truth(rows);
    for (auto& s : scores) s = static_cast<float>(random() % levels) / 7.0F;
    for (auto& t : truth) t = random() % 3 == 0;
    truth[0] = 1;
    truth[1] = 0;
    EXPECT_NEAR(roc_auc(scores, truth).value(), slow_roc_auc(scores, truth), kTolerance);
    EXPECT_NEAR(average_precision(scores, truth).value(), slow_average_precision(scores, truth), kTolerance);
  }
}

TEST(Metrics, RefuseANaNWithItsRow) {
  const std::vector<float> scores = {0.5F, std::nanf("")};
  const std::vector<std::uint8_t> truth = {0, 1};
  EXPECT_THAT(refusal([&] { (void)roc_auc(scores, truth); }),
              AllOf(HasSubstr("score 1"), HasSubstr("NaN"), HasSubstr("expected")));
  EXPECT_THAT(refusal([&] { (void)average_precision(scores, truth); }), HasSubstr("NaN"));
}

TEST(Metrics, RefuseLengthsThatDiffer) {
  const std::vector<float> scores = {0.5F, 1};
  const std::vector<std::uint8_t> truth = {1};
  EXPECT_THAT(refusal([&] { (void)roc_auc(scores, truth); }), HasSubstr("2 scores for 1 truths"));
  EXPECT_THAT(refusal([&] { (void)average_precision(scores, truth); }), HasSubstr("2 scores for 1 truths"));
}

TEST(ScoreTable, EqualsScikitLearnClassByClass) {
  const auto scores = score_table(lattice());
  ASSERT_EQ(scores.per_class.size(), std::size(kKnown));
  for (std::size_t c = 0; c < std::size(kKnown); ++c) {
    SCOPED_TRACE(c);
    EXPECT_EQ(scores.per_class[c].name, "class " + std::to_string(c));
    EXPECT_EQ(scores.per_class[c].positives, kKnown[c].positives);
    expect_near(scores.per_class[c].roc_auc, kKnown[c].roc_auc);
    expect_near(scores.per_class[c].average_precision, kKnown[c].average_precision);
  }
}

TEST(ScoreTable, AveragesRocAucOverTheClassesThatHaveOne) {
  const auto scores = score_table(lattice());
  EXPECT_NEAR(scores.macro_roc_auc, 0.4322029242875999, kTolerance);  // NumPy's mean of scikit-learn's four
  EXPECT_EQ(scores.classes_scored, 4);
  EXPECT_EQ(scores.rows, 40);
}

TEST(ScoreTable, PadsAveragePrecisionAsBirdClef2023) {
  // scikit-learn 1.9.1: average_precision_score(vstack([truth, ones(5)]), vstack([scores, ones(5)]), average="macro"), the
  // competition's own code with padding_factor=5.
  EXPECT_NEAR(score_table(lattice()).padded_cmap, 0.5645591682862388, kTolerance);
}

TEST(ScoreTable, CountsAnyTruthButZeroAsPositive) {
  auto table = lattice();
  for (auto& t : table.truth) t = static_cast<std::uint8_t>(t * 255);
  const auto scores = score_table(table);
  EXPECT_EQ(scores.per_class[0].positives, kKnown[0].positives);
  EXPECT_NEAR(scores.macro_roc_auc, 0.4322029242875999, kTolerance);
}

TEST(ScoreTable, RefusesTruthThatScoresNoClass) {
  auto table = lattice();
  std::fill(table.truth.begin(), table.truth.end(), std::uint8_t{0});
  EXPECT_THAT(refusal([&] { (void)score_table(table); }), AllOf(HasSubstr("no class of 6"), HasSubstr("expected")));
  EXPECT_THAT(refusal([] { (void)score_table({}); }), HasSubstr("no class of 0"));
}

TEST(ScoreTable, RefusesSizesThatDoNotFit) {
  auto table = lattice();
  table.truth.pop_back();
  EXPECT_THAT(refusal([&] { (void)score_table(table); }), AllOf(HasSubstr("239 truths"), HasSubstr("40 rows x 6 classes")));
}

TEST(ScoreTable, MicroCountsAllCellsAsOneClassAndMacroOnlyClassesWithPositives) {
  const auto table = lattice();
  const auto scores = score_table(table, 0.75);
  EXPECT_EQ(scores.classes_with_positives, 5);
  double precision = 0;
  for (const auto& known : kKnown) precision += known.average_precision.value_or(0);
  EXPECT_NEAR(scores.macro_ap, precision / 5, kTolerance);
  EXPECT_NEAR(scores.micro_ap, slow_average_precision(table.scores, table.truth), kTolerance);
  const auto f1 = [&](std::size_t first, std::size_t step) {
    double hits = 0, all = 0;
    for (std::size_t i = first; i < table.scores.size(); i += step) {
      hits += table.scores[i] >= 0.75F && table.truth[i] != 0 ? 1 : 0;
      all += (table.scores[i] >= 0.75F ? 1 : 0) + table.truth[i];
    }
    return 2 * hits / all;
  };
  EXPECT_NEAR(scores.micro_f1, f1(0, 1), kTolerance);
  EXPECT_NEAR(scores.macro_f1, (f1(0, 6) + f1(1, 6) + f1(2, 6) + f1(3, 6) + f1(5, 6)) / 5, kTolerance);
}

TEST(ScoreTable, TakesAScoreAtTheThresholdAsADetection) {
  // 0.7f is below 0.7: who types 0.7 means the score that prints so.
  const ScoredTable table{{"a"}, {"x_5", "x_10"}, {0.7F, 0.1F}, {1, 0}};
  EXPECT_EQ(score_table(table, 0.7).micro_f1, 1);
}

TEST(BestThreshold, IsTheHighestOfEqualOnes) {
  // By hand: 0.9 takes 1 of 2 positives (F1 2/3), 0.5 takes both and two negatives (F1 4/6).
  const auto best = best_threshold(std::vector<float>{0.5F, 0.9F, 0.5F, 0.5F}, std::vector<std::uint8_t>{1, 1, 0, 0});
  ASSERT_TRUE(best);
  EXPECT_EQ(best->threshold, 0.9F);
  EXPECT_EQ(best->f1, 2.0 / 3);
  EXPECT_EQ(best->precision, 1);
  EXPECT_EQ(best->recall, 0.5);
}

TEST(BestThreshold, IsUndefinedWithoutPositives) {
  EXPECT_FALSE(best_threshold(std::vector<float>{0.5F}, std::vector<std::uint8_t>{0}));
}

TEST(BestThreshold, GivesBackTheScoreToTheBit) {
  for (const float score : {-2.5F, -1e-40F, 0.0F, 1.0F / 3.0F, 7e30F, std::numeric_limits<float>::infinity()}) {
    EXPECT_EQ(best_threshold(std::vector<float>{score}, std::vector<std::uint8_t>{1})->threshold, score);
  }
}

constexpr Metric kMetrics[] = {Metric::macro_roc_auc, Metric::padded_cmap, Metric::macro_ap, Metric::micro_ap};

TEST(MetricValue, IsWhatTheWholeTableSays) {
  const auto table = lattice();
  const auto scores = score_table(table);
  const double expected[] = {scores.macro_roc_auc, scores.padded_cmap, scores.macro_ap, scores.micro_ap};
  for (std::size_t i = 0; i < std::size(kMetrics); ++i) {
    EXPECT_EQ(metric_value(kMetrics[i], table.scores, table.truth, 6), expected[i]) << to_string(kMetrics[i]);
  }
}

TEST(MetricValue, HoldsOnManyRowsAsOnFew) {
  // Many rows are sorted another way than few: the definition must hold for both.
  std::mt19937 random(3);
  for (const std::size_t rows : {1UL, 255UL, 256UL, 700UL}) {
    std::vector<float> scores(rows);
    std::vector<std::uint8_t> truth(rows);
    for (auto& s : scores) s = std::ldexp(static_cast<float>(random() % 64) - 32, static_cast<int>(random() % 9) - 4);
    for (auto& t : truth) t = random() % 4 == 0;
    truth[0] = 1;
    if (rows > 1) truth[1] = 0;
    EXPECT_NEAR(metric_value(Metric::macro_ap, scores, truth, 1), slow_average_precision(scores, truth), kTolerance);
    if (rows > 1) {
      EXPECT_NEAR(metric_value(Metric::macro_roc_auc, scores, truth, 1), slow_roc_auc(scores, truth), kTolerance);
    }
  }
}

TEST(MetricValue, DependsOnTheOrderOfScoresOnly) {
  auto table = lattice();  // multiples of 1/16: halving keeps ties
  for (const auto metric : {Metric::macro_roc_auc, Metric::macro_ap, Metric::micro_ap}) {
    auto halved = table.scores;
    for (auto& s : halved) s = s / 2 - 3;
    EXPECT_EQ(metric_value(metric, halved, table.truth, 6), metric_value(metric, table.scores, table.truth, 6));
  }
}

TEST(MetricValue, TakesMinusZeroForZero) {
  EXPECT_EQ(metric_value(Metric::macro_roc_auc, std::vector<float>{-0.0F, 0.0F}, std::vector<std::uint8_t>{0, 1}, 1), 0.5);
}

TEST(MetricValue, RefusesWhatHasNoValue) {
  const std::vector<float> scores = {0.5F, 0.25F};
  for (const auto metric : kMetrics) {
    const auto value = [&](std::vector<std::uint8_t> truth, std::size_t classes) {
      return refusal([&] { (void)metric_value(metric, scores, truth, classes); });
    };
    EXPECT_THAT(value({0, 0}, 1), AllOf(HasSubstr("no class of 1 has positive rows among 2"), HasSubstr("expected")));
    EXPECT_THAT(value({1}, 1), HasSubstr("2 scores for 1 truths"));
    EXPECT_THAT(value({1, 0}, 3), HasSubstr("expected rows of 3 classes"));
    EXPECT_THAT(value({1, 0}, 0), HasSubstr("expected rows of 0 classes"));
    EXPECT_THAT(refusal([&] { (void)metric_value(metric, {}, {}, 0); }), HasSubstr("no class of 0"));
    const std::vector<float> nan = {0.5F, std::nanf("")};
    EXPECT_THAT(refusal([&] { (void)metric_value(metric, nan, std::vector<std::uint8_t>{1, 0}, 1); }), HasSubstr("NaN"));
  }
  EXPECT_THAT(refusal([&] { (void)metric_value(Metric::macro_roc_auc, scores, std::vector<std::uint8_t>{1, 1}, 1); }),
              HasSubstr("both positive and negative"));
}

TEST(MetricName, IsReadAsItIsWritten) {
  for (const auto metric : kMetrics) EXPECT_EQ(metric_from_string(to_string(metric)), metric);
  EXPECT_THAT(refusal([] { (void)metric_from_string("macro_auc"); }), AllOf(HasSubstr("macro_auc"), HasSubstr("padded_cmap")));
  EXPECT_THAT(refusal([] { (void)metric_from_string("micro_app"); }), HasSubstr("did you mean \"micro_ap\"?"));
}

}  // namespace
}  // namespace whimbrel
