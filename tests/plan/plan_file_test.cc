#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "plan/workload.h"
#include "whimbrel/io.h"
#include "whimbrel/plan.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class PlanFile : public ::testing::Test {
 protected:
  PlanFile() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(WHIMBREL_TEST_DATA_DIR) / "plan" / test->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "models");
    fs::create_directories(folder_ / "plans");
    for (const std::string name : {"small", "large"}) {
      write("models/" + name + ".onnx", "weights of " + name);
      write("models/" + name + ".toml", "[model]\nfile = \"" + name + ".onnx\"\nlabels = \"labels.txt\"\n[input]\n" +
                                            "kind = \"waveform\"\nsample_rate_hz = 8000\nwindow_s = 1\n");
    }
    write("models/labels.txt", "a\nb\n");
    plan_ = {.whimbrel = "0.1.0",
             .created = "2026-11-25T03:00:00Z",
             .cpu = cpu_info().model,
             .cores = 4,
             .metric = Metric::padded_cmap,
             .budget_s = 7200,
             .workload_windows = 24000,
             .workload_s = 120000,
             .expected_wall_s = 6500.5,
             .wall_margin_s = 325,
             .expected_score = 0.875,
             .score_low = 0.75,
             .score_high = 0.9375,
             .method = "cascade",
             .best_single_score = 0.5,
             .best_equal_score = 0.625,
             .best_weighted_score = 0.6875,
             .best_cascade_score = 0.875};
    plan_.members = {member("small", 3, 0.25, 0.03125), member("large", 1, 2.5, 0.0625)};
    plan_.cascade = Cascade{.gate = 0, .threshold = 0.1F, .slope = 1.0 / 3, .offset = -0.7};
    plan_.expected_share = 0.125;
    plan_.pareto = {{100, 0.5, {"small"}}, {200, 0.75, {"small", "a \"large\" one"}}};
  }
  ~PlanFile() override {
    std::error_code error;
    fs::remove_all(folder_, error);
  }

  PlannedMember member(const std::string& name, double weight, double cost_s, double gain) const {
    return {folder_ / "models" / (name + ".toml"),
            name,
            file_hash(folder_ / "models" / (name + ".onnx")),
            "onnxruntime",
            "fp32",
            2,
            weight,
            cost_s,
            gain};
  }

  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }

  std::string text() const {
    write_plan(plan_, folder_ / "plans/plan.toml");
    return read_file(folder_ / "plans/plan.toml");
  }

  /// What is said of the plan with `old` replaced.
  std::string refusal(const std::string& old, const std::string& replacement, ErrorCode code = ErrorCode::bad_manifest) const {
    auto changed = text();
    const auto at = changed.find(old);
    if (at == std::string::npos) ADD_FAILURE() << "nothing to replace: " << old;
    write("plans/bad.toml", changed.replace(at, old.size(), replacement));
    try {
      (void)read_plan(folder_ / "plans/bad.toml");
    } catch (const Error& error) {
      EXPECT_EQ(to_string(error.code()), to_string(code));
      EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
      return error.what();
    }
    ADD_FAILURE() << "nothing was thrown for " << replacement;
    return "";
  }

  fs::path folder_;
  Plan plan_;
};

TEST_F(PlanFile, ReadsBackWhatWasWritten) {
  EXPECT_THAT(text(), HasSubstr("model = \"../models/small.toml\""));
  const auto plan = read_plan(folder_ / "plans/plan.toml");
  EXPECT_EQ(plan.created, plan_.created);
  EXPECT_EQ(plan.cpu, plan_.cpu);
  EXPECT_EQ(plan.metric, plan_.metric);
  EXPECT_EQ(plan.cores, 4);
  EXPECT_EQ(plan.workload_windows, 24000);
  EXPECT_EQ(plan.expected_wall_s, 6500.5);
  EXPECT_EQ(plan.score_high, 0.9375);
  EXPECT_EQ(plan.method, "cascade");
  EXPECT_EQ(plan.best_cascade_score, 0.875);
  ASSERT_EQ(plan.members.size(), 2U);
  EXPECT_EQ(fs::canonical(plan.members[0].model), fs::canonical(plan_.members[0].model));
  EXPECT_EQ(plan.members[1].hash, plan_.members[1].hash);
  EXPECT_EQ(plan.members[0].weight, 3);
  EXPECT_EQ(plan.members[0].batch, 2);
  EXPECT_EQ(plan.members[1].gain, 0.0625);
  ASSERT_TRUE(plan.cascade.has_value());
  EXPECT_EQ(plan.cascade->threshold, plan_.cascade->threshold);  // to the bit: a score that equals it passes
  EXPECT_EQ(plan.cascade->slope, plan_.cascade->slope);
  EXPECT_EQ(plan.expected_share, 0.125);
  ASSERT_EQ(plan.pareto.size(), 2U);
  EXPECT_EQ(plan.pareto[1].members, plan_.pareto[1].members);
}

TEST_F(PlanFile, WithoutACascadeHasNone) {
  plan_.cascade.reset();
  plan_.best_cascade_score.reset();
  EXPECT_THAT(text(), Not(HasSubstr("[cascade]")));
  const auto plan = read_plan(folder_ / "plans/plan.toml");
  EXPECT_FALSE(plan.cascade.has_value());
  EXPECT_FALSE(plan.best_cascade_score.has_value());
}

TEST_F(PlanFile, RefusesUnknownKeysWithTheClosestOne) {
  EXPECT_THAT(refusal("cores = ", "coers = 1\ncores = "), HasSubstr("unknown key [plan] coers"));
  EXPECT_THAT(refusal("cores = ", "coers = 1\ncores = "), HasSubstr("did you mean \"cores\"?"));
  EXPECT_THAT(refusal("weight = 3", "weight = 3\nwieght = 3"), HasSubstr("[member] wieght"));
  EXPECT_THAT(refusal("[cascade]", "[casacde]"), HasSubstr("did you mean \"cascade\"?"));
}

TEST_F(PlanFile, SaysWhatIsMissing) {
  EXPECT_THAT(refusal("hash = ", "hashh = "), HasSubstr("[member] hash is missing; did you mean it by \"hashh\"?"));
  EXPECT_THAT(refusal("[plan]", "[x]"), HasSubstr("plan=nothing, expected a table, [plan]"));
  EXPECT_THAT(refusal("[cascade]\ngate = 0", "[cascade]"), HasSubstr("gate is missing"));
  write("plans/empty.toml", text().substr(0, text().find("[[member]]")));
  EXPECT_THROW((void)read_plan(folder_ / "plans/empty.toml"), Error);
}

TEST_F(PlanFile, RefusesValuesOutOfRangeWithFileAndLine) {
  EXPECT_THAT(refusal("cores = 4", "cores = 0"), HasSubstr("bad.toml:6: [plan] cores=0, expected a whole number, 1..1024"));
  EXPECT_THAT(refusal("cores = 4", "cores = \"four\""), HasSubstr("cores=\"four\", expected a whole number"));
  EXPECT_THAT(refusal("weight = 3", "weight = 0"), HasSubstr("weight=0, expected a number above 0"));
  EXPECT_THAT(refusal("weight = 3", "weight = nan"), HasSubstr("weight=nan"));
  EXPECT_THAT(refusal("weight = 3", "weight = -1"), HasSubstr("weight=-1"));
  EXPECT_THAT(refusal("batch = 2", "batch = 2.5"), HasSubstr("batch=2.5"));
  EXPECT_THAT(refusal("gate = 0", "gate = 2"), HasSubstr("gate=2, expected a whole number, 0..1"));
  EXPECT_THAT(refusal("slope = ", "slope = 0.0 # "), HasSubstr("slope=0"));
  EXPECT_THAT(refusal("score_low = 0.75", "score_low = 0.95"), HasSubstr("score_high"));
  EXPECT_THAT(refusal("expected_share = 0.125", "expected_share = 1.5"), HasSubstr("expected_share=1.5"));
  EXPECT_THAT(refusal("members = [\"small\"]", "members = [1]"), HasSubstr("a list of texts"));
  EXPECT_THAT(refusal("[cascade]", "[[cascade]]"), HasSubstr("a table, [cascade]"));
  EXPECT_THAT(refusal("engine = \"onnxruntime\"", "engine = \"onnxrntime\""), HasSubstr("did you mean onnxruntime?"));
  EXPECT_THAT(refusal("metric = \"padded_cmap\"", "metric = \"cmap\""),
              HasSubstr("expected one of macro_roc_auc, padded_cmap"));
  EXPECT_THAT(refusal("method = \"cascade\"", "method = \"luck\""), HasSubstr("expected one of single"));
}

TEST_F(PlanFile, RefusesWhatIsNoTomlOrTooLarge) {
  EXPECT_THAT(refusal("[plan]", "[plan"), HasSubstr("not TOML"));
  EXPECT_THAT(refusal("[plan]", "#" + std::string(1 << 20, 'x') + "\n[plan]", ErrorCode::invalid_argument),
              HasSubstr("bad.toml"));
  EXPECT_THROW((void)read_plan(folder_ / "nothing.toml"), Error);
}

TEST_F(PlanFile, AppliedSetsModelsMembersAndCascade) {
  PredictOptions options;
  options.budget_s = 5;
  apply_plan(plan_, options);
  ASSERT_EQ(options.models.size(), 2U);
  EXPECT_EQ(options.models[1], folder_ / "models/large.toml");
  EXPECT_EQ(options.members[0].weight, 3);
  EXPECT_EQ(options.members[0].engine, "onnxruntime");
  EXPECT_EQ(options.members[0].batch, 2);
  EXPECT_EQ(options.members[1].cost_s, 2.5);
  EXPECT_EQ(options.members[1].gain, 0.0625);
  EXPECT_EQ(options.members[1].model_hash, plan_.members[1].hash);
  EXPECT_EQ(options.cascade->threshold, plan_.cascade->threshold);
  EXPECT_EQ(options.budget_s, 5);
  EXPECT_EQ(options.expected->wall_s, 6500.5);
  EXPECT_EQ(options.expected->windows, 24000);
}

TEST_F(PlanFile, AppliedOnAnotherCpuKeepsWeightsAndMeasuresAnew) {
  std::string warning;
  set_log_sink([&](LogLevel level, std::string_view message) { warning = level == LogLevel::warning ? message : ""; });
  plan_.cpu = "Another CPU";
  PredictOptions options;
  apply_plan(plan_, options);
  set_log_sink(nullptr);
  EXPECT_THAT(warning, HasSubstr("made on Another CPU"));
  EXPECT_EQ(options.members[0].weight, 3);
  EXPECT_EQ(options.members[0].gain, 0.03125);
  EXPECT_EQ(options.members[0].engine, "");
  EXPECT_EQ(options.members[0].batch, 0);
  EXPECT_EQ(options.members[0].cost_s, 0);
}

TEST_F(PlanFile, AppliedToAnotherModelNamesBothHashes) {
  write("models/large.onnx", "trained again");
  PredictOptions options;
  try {
    apply_plan(plan_, options);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_manifest);
    EXPECT_THAT(error.what(), HasSubstr("large.onnx"));
    EXPECT_THAT(error.what(), HasSubstr(plan_.members[1].hash));
    EXPECT_THAT(error.what(), HasSubstr(file_hash(folder_ / "models/large.onnx")));
  }
}

TEST_F(PlanFile, AppliedBesideModelsIsRefused) {
  PredictOptions options;
  options.models = {"other.toml"};
  EXPECT_THROW(apply_plan(plan_, options), Error);
}

TEST(Workload, CountsRecordingsOfOneLength) {
  const WindowGrid grid{.sample_rate_hz = 32000, .window_samples = 160000, .hop_samples = 160000};
  EXPECT_EQ(measure_workload({"200x10min"}, grid).windows, 200 * 120);
  EXPECT_EQ(measure_workload({"200x10min"}, grid).audio_s, 120000);
  EXPECT_EQ(measure_workload({"3x1h30m"}, grid).windows, 3 * 1080);
  EXPECT_EQ(measure_workload({"1x7s"}, grid).windows, 1);  // 2 s are less than half a window
  EXPECT_EQ(measure_workload({"1x8s"}, grid).windows, 2);
  const WindowGrid overlapping{.sample_rate_hz = 32000, .window_samples = 160000, .hop_samples = 80000};
  EXPECT_EQ(measure_workload({"1x10s"}, overlapping).windows, 3);
}

TEST(Workload, RefusesWhatIsNone) {
  const WindowGrid grid;
  for (const std::string word : {"0x10min", "5x", "5x10parsec", "999999999999x1h", "5x-1s", "nothing here"}) {
    EXPECT_THROW((void)measure_workload({word}, grid), Error) << word;
  }
}

}  // namespace
}  // namespace whimbrel
