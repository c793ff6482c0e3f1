#include "plan/bench_summary.h"

#include <gmock/gmock.h>

namespace whimbrel::plan {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

BenchModel model_with(const std::vector<Estimate>& speeds) {
  BenchModel model;
  model.forms = {{.form = {.model_path = "net.onnx", .precision = "fp32"}, .macs = 1'000'000}};
  for (const auto& speed : speeds) {
    model.rows.push_back({.batch = static_cast<int>(model.rows.size()) + 1, .workers = 2, .windows_per_s = speed});
  }
  if (!speeds.empty()) model.best = 0;
  return model;
}

TEST(BenchSummary, NamesTheFastestWhereTheIntervalsAreApart) {
  EXPECT_EQ(ranking_of(model_with({{200, 190, 210}, {100, 90, 110}}), 0.02),
            "net.onnx onnxruntime batch 1 x 2 workers is the fastest: 2.00x net.onnx onnxruntime batch 2 x 2 workers");
}

TEST(BenchSummary, DoesNotRankRowsWhoseIntervalsOverlap) {
  const auto said = ranking_of(model_with({{200, 150, 210}, {180, 140, 190}}), 0.02);
  EXPECT_THAT(said, AllOf(HasSubstr("cannot be ranked on this machine now"), HasSubstr("(150.0..210.0 windows/s)"),
                          Not(HasSubstr("varied"))));
}

TEST(BenchSummary, SaysThatTheMachineIsTooUnsteady) {
  EXPECT_THAT(ranking_of(model_with({{200, 190, 210}, {100, 90, 110}}), 0.25), HasSubstr("too unsteady to rank"));
  EXPECT_THAT(ranking_of(model_with({{200, 150, 210}, {180, 140, 190}}), 0.25), HasSubstr("varied by 25 %"));
}

TEST(BenchSummary, HasNothingToRankInOneRowOrNone) {
  EXPECT_THAT(ranking_of(model_with({{200, 190, 210}}), 0), HasSubstr("one row"));
  EXPECT_THAT(ranking_of(model_with({}), 0), HasSubstr("nothing could be measured"));
  auto failed = model_with({{200, 190, 210}, {}});
  failed.rows[1].error = "broken";
  EXPECT_THAT(ranking_of(failed, 0), HasSubstr("one row"));
}

TEST(BenchSummary, TakesTheBestRoundAsPeakAndTheSpreadAsUnsteadiness) {
  BenchResult result;
  result.cpu.cores_allowed = 2;
  result.models = {model_with({{1000, 990, 1010}})};
  summarize({2, {9e9, 10e9, 9.5e9}, {20e9, 30e9, 25e9}}, result);
  EXPECT_EQ(result.fma_per_s, 10e9);
  EXPECT_EQ(result.integer_per_s, 30e9);
  EXPECT_NEAR(result.unsteadiness, 1 / 9.5, 1e-12);
  EXPECT_FALSE(result.steady);
  ASSERT_TRUE(result.models[0].rows[0].peak_share);
  EXPECT_NEAR(*result.models[0].rows[0].peak_share, 2 * 1e6 * 1000 / (2 * 10e9), 1e-12);
  result.models[0].forms[0].form.precision = "int8";
  summarize({2, {9e9, 10e9, 9.5e9}, {20e9, 30e9, 25e9}}, result);
  EXPECT_NEAR(*result.models[0].rows[0].peak_share, 2 * 1e6 * 1000 / (2 * 30e9), 1e-12) << "against the integer peak";
}

}  // namespace
}  // namespace whimbrel::plan
