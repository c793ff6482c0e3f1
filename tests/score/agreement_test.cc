#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "whimbrel/score.h"

namespace whimbrel {
namespace {

using ::testing::HasSubstr;

using Scores = std::vector<float>;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Rows: agree and confident; disagree and confident; agree, not confident; disagree, not confident.
const Scores kReference = {0.9F, 0.1F, 0.2F, 0.6F, 0.7F, 0.1F, 0.3F, 0.2F, 0.1F, 0.4F, 0.3F, 0.2F};
const Scores kOther = {0.8F, 0.2F, 0.1F, 0.8F, 0.4F, 0.1F, 0.6F, 0.2F, 0.1F, 0.3F, 0.4F, 0.2F};

TEST(Agreement, CountsRowsWithTheSameBestClass) {
  const auto result = agreement(kReference, kOther, 3, 0.5);
  EXPECT_EQ(result.top1, 0.5);
  EXPECT_EQ(result.confident_rows, 2);
  EXPECT_EQ(result.top1_confident, 0.5);
  // Detections: 0.9, 0.6, 0.7 against 0.8, 0.8, 0.6; two in common: 2 * 2 / (3 + 3).
  EXPECT_DOUBLE_EQ(result.detections_f1, 2.0 * 2 / 6);
}

TEST(Agreement, IsCompleteWithItself) {
  const auto result = agreement(kReference, kReference, 3, 0.5);
  EXPECT_EQ(result.top1, 1);
  EXPECT_EQ(result.top1_confident, 1);
  EXPECT_EQ(result.detections_f1, 1);
}

TEST(Agreement, CountsAScoreAtTheThresholdAsADetection) {
  const auto result = agreement(Scores{0.5F, 0}, Scores{0.5F, 0}, 2, 0.5);
  EXPECT_EQ(result.confident_rows, 1);
  EXPECT_EQ(result.detections_f1, 1);
  EXPECT_EQ(agreement(Scores{0.5F, 0}, Scores{0.49F, 0}, 2, 0.5).detections_f1, 0);
}

TEST(Agreement, IsOneWhereThereIsNothingToAgreeOn) {
  for (const auto& result : {agreement({}, {}, 3, 0.5), agreement(Scores{0.1F, 0.2F}, Scores{0.2F, 0.3F}, 2, 0.5)}) {
    EXPECT_EQ(result.top1, 1);
    EXPECT_EQ(result.top1_confident, 1);
    EXPECT_EQ(result.confident_rows, 0);
    EXPECT_EQ(result.detections_f1, 1);
  }
}

TEST(Agreement, TakesTheFirstOfEqualScores) {
  EXPECT_EQ(agreement(Scores{0.5F, 0.5F}, Scores{0.6F, 0.5F}, 2, 0.5).top1, 1);
  EXPECT_EQ(agreement(Scores{0.5F, 0.5F}, Scores{0.5F, 0.6F}, 2, 0.5).top1, 0);
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

TEST(Agreement, RefusesSizesThatDoNotFit) {
  EXPECT_THAT(refusal([] { agreement(Scores(6), Scores(3), 3, 0.5); }), HasSubstr("6 and 3 scores of 3 classes"));
  EXPECT_THAT(refusal([] { agreement(Scores(4), Scores(4), 3, 0.5); }), HasSubstr("whole rows"));
  EXPECT_THAT(refusal([] { agreement(Scores(4), Scores(4), 0, 0.5); }), HasSubstr("0 classes"));
  EXPECT_THAT(refusal([] { sqnr_db(Scores(4), Scores(5)); }), HasSubstr("4 and 5"));
}

TEST(Agreement, RefusesNaN) {
  const Scores bad = {0.1F, std::numeric_limits<float>::quiet_NaN()};
  const Scores good = {0.1F, 0.2F};
  EXPECT_THAT(refusal([&] { agreement(bad, good, 2, 0.5); }), HasSubstr("NaN"));
  EXPECT_THAT(refusal([&] { agreement(good, bad, 2, 0.5); }), HasSubstr("NaN"));
  EXPECT_THAT(refusal([&] { sqnr_db(good, bad); }), HasSubstr("NaN"));
}

TEST(Sqnr, IsTheRatioOfEnergiesInDecibels) {
  EXPECT_NEAR(sqnr_db(Scores{3, 4}, Scores{3, 4.5F}), 20, 1e-9);  // 25 / 0.25
  EXPECT_NEAR(sqnr_db(Scores{1, -1}, Scores{2, 0}), 0, 1e-9);
  EXPECT_NEAR(sqnr_db(Scores{1}, Scores{11}), -20, 1e-9);
}

TEST(Sqnr, OfEqualValuesIsInfinite) {
  EXPECT_EQ(sqnr_db(Scores{1, 2}, Scores{1, 2}), kInfinity);
  EXPECT_EQ(sqnr_db({}, {}), kInfinity);
  EXPECT_EQ(sqnr_db(Scores{0, 0}, Scores{1, 2}), -kInfinity);
}

TEST(Sqnr, OfTheSameSignalDoesNotDependOnItsScale) {
  // Powers of two, so that float32 rounds alike.
  const Scores a = {0.3F, -0.7F, 1.1F}, b = {0.31F, -0.69F, 1.08F};
  for (const float scale : {0x1p-60F, 0x1p20F, 0x1p60F}) {
    Scores scaled_a, scaled_b;
    for (const float v : a) scaled_a.push_back(v * scale);
    for (const float v : b) scaled_b.push_back(v * scale);
    EXPECT_NEAR(sqnr_db(scaled_a, scaled_b), sqnr_db(a, b), 1e-9);
  }
}

}  // namespace
}  // namespace whimbrel
