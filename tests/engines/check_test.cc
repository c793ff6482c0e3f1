#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engines/models.h"

namespace whimbrel {
namespace {

using testing::HasSubstr;

TEST(ProbeInput, IsTheOneThatPythonRecordsProbesOn) {
  WHIMBREL_NEED_FILE("sed.input.f32");
  const auto python = read_values("sed.input.f32");
  EXPECT_EQ(probe_input(static_cast<std::int64_t>(python.size())), python);
}

TEST(ProbeInput, LiesInTheUnitIntervalAndFillsIt) {
  const auto values = probe_input(100000);
  double sum = 0;
  for (const float v : values) {
    ASSERT_GE(v, 0);
    ASSERT_LT(v, 1);
    sum += static_cast<double>(v);
  }
  EXPECT_NEAR(sum / 100000, 0.5, 0.005);  // five standard deviations of the mean of 1e5 uniform values
  EXPECT_TRUE(probe_input(0).empty());
}

class CheckSession : public testing::TestWithParam<EngineKind> {
 protected:
  void SetUp() override {
    const auto status = engine_status(GetParam());
    if (!status.available) GTEST_SKIP() << status.remedy;
    WHIMBREL_NEED_FILE(in_format_of(GetParam(), "linear.onnx"));
  }
  static SessionCheck check(const std::string& name, std::int64_t batch, std::span<const float> expected = {},
                            double tolerance = 0) {
    const auto session = open_session(GetParam(), test_file(in_format_of(GetParam(), name)), {.batch = batch});
    return check_session(*session, expected, tolerance, std::string(to_string(GetParam())) + ", " + name);
  }
};

INSTANTIATE_TEST_SUITE_P(Engines, CheckSession, testing::ValuesIn(all_engines()),
                         [](const auto& tested) { return std::string(to_string(tested.param)); });

TEST_P(CheckSession, FindsRowsIndependentInAConvolutionalNetwork) {
  EXPECT_TRUE(check("sed.onnx", 1).rows_independent);
  // oneDNN's 1x1 convolutions of torch add up the last positions of a batch in another order than the others, which is a last
  // bit: found, such batches hold one recording only.
  if (GetParam() == EngineKind::torchscript) return;
  for (const std::int64_t batch : {2, 4, 8}) EXPECT_TRUE(check("sed.onnx", batch).rows_independent) << batch;
}

TEST_P(CheckSession, FindsRowsThatChangeWithTheOthersInTheBatch) {
  EXPECT_FALSE(check("coupled_rows.onnx", 4).rows_independent);
  EXPECT_FALSE(check("coupled_rows.onnx", 2).rows_independent);
  EXPECT_TRUE(check("coupled_rows.onnx", 1).rows_independent) << "a batch of one row has no others";
}

TEST_P(CheckSession, ComparesTheFirstRowWithTheRecordedProbe) {
  const auto clip = read_values("sed.clip.f32");
  const std::vector<float> row(clip.begin(), clip.begin() + 5);
  EXPECT_LT(check("sed.onnx", 4, row, 1e-4).probe_difference, 1e-4);
  EXPECT_EQ(check("sed.onnx", 4).probe_difference, 0);
}

TEST_P(CheckSession, ThrowsWhenTheProbeIsMissed) {
  auto clip = read_values("sed.clip.f32");
  clip.resize(5);
  clip[3] += 0.5F;
  const auto e = error_of([&] { check("sed.onnx", 4, clip, 1e-3); });
  EXPECT_EQ(e.code(), ErrorCode::bad_manifest);
  EXPECT_THAT(e.what(),
              HasSubstr(std::string(to_string(GetParam())) + ", sed.onnx: the output on the probe input is off by 0.5"));
}

TEST_P(CheckSession, ThrowsWhenTheProbeIsNotANumberOrOfAnotherSize) {
  const std::vector<float> unknown(5, std::nanf(""));
  EXPECT_EQ(error_of([&] { check("sed.onnx", 1, unknown, 1e-3); }).code(), ErrorCode::bad_manifest);
  const auto e = error_of([&] { check("sed.onnx", 1, std::vector<float>(4), 1e-3); });
  EXPECT_EQ(e.code(), ErrorCode::bad_manifest);
  EXPECT_THAT(e.what(), HasSubstr("the recorded probe has 4 values, a row of the output has 5"));
}

TEST_P(CheckSession, ThrowsOnNonFiniteOutput) {
  const auto e = error_of([&] { check("nan.onnx", 2); });
  EXPECT_EQ(e.code(), ErrorCode::bad_manifest);
  EXPECT_THAT(e.what(), HasSubstr("nan.onnx: value 1 of output 'y' is"));
}

}  // namespace
}  // namespace whimbrel
