#include "pipeline/trials.h"

#include <gmock/gmock.h>

#include <map>

namespace whimbrel {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr auto kFirst = EngineKind::onnxruntime;
constexpr auto kSecond = EngineKind::openvino;

/// A machine whose clock only moves when a model is opened or run.
class Trials : public ::testing::Test {
 protected:
  struct Costs {
    double open_s = 0.1;
    double window_s = 0.01;
    bool rows_independent = true;
    bool fails = false;
  };

  TrialResult search(double budget_s, const std::vector<EngineKind>& engines = {kFirst, kSecond},
                     const std::vector<int>& batches = {1, 4}) {
    return find_setting(engines, batches, budget_s,
                        {[this](const Setting& setting) { return open(setting); }, [this] { return now_s_; }});
  }

  Trial open(const Setting& setting) {
    const auto costs = costs_[{setting.engine, setting.batch}];
    opened_.push_back(setting);
    now_s_ += costs.open_s + 3 * setting.batch * costs.window_s;
    if (costs.fails) throw Error(ErrorCode::engine, "does not open");
    Trial trial;
    trial.opened.setting = setting;
    trial.opened.check.rows_independent = costs.rows_independent;
    trial.opened.cost_s = costs.window_s;
    trial.run = [this, costs, setting] {
      now_s_ += setting.batch * costs.window_s;
      return costs.window_s;
    };
    return trial;
  }

  double now_s_ = 1000;
  std::map<std::pair<EngineKind, int>, Costs> costs_;
  std::vector<Setting> opened_;
};

TEST_F(Trials, TakesTheFasterEngineAndThenTheFasterBatch) {
  costs_[{kSecond, 1}].window_s = 0.008;
  costs_[{kSecond, 4}].window_s = 0.006;
  const auto result = search(2);
  EXPECT_EQ(result.winner.opened.setting, (Setting{kSecond, 4}));
  EXPECT_DOUBLE_EQ(result.winner.opened.cost_s, 0.006);
  EXPECT_THAT(opened_, ElementsAre(Setting{kFirst, 1}, Setting{kSecond, 1}, Setting{kSecond, 4}));
  ASSERT_EQ(result.settings.size(), 3U);
  EXPECT_EQ(result.settings[0].batch, 4);
  EXPECT_NEAR(result.settings[0].windows_per_s, 1 / 0.006, 1e-9);
  EXPECT_EQ(result.settings[2].engine, kFirst) << "the slowest";
}

TEST_F(Trials, StaysWithTheFirstUnlessAnotherIsClearlyFaster) {
  costs_[{kSecond, 1}].window_s = 0.0099;
  costs_[{kFirst, 4}].window_s = 0.0099;
  EXPECT_EQ(search(2).winner.opened.setting, (Setting{kFirst, 1}));
  EXPECT_EQ(search(2).settings[0].engine, kFirst) << "first what was taken, not what happened to be a little faster";
}

TEST_F(Trials, EndsWithinTheBudget) {
  for (const double window_s : {0.001, 0.01, 0.05, 0.2}) {
    for (const double open_s : {0.02, 0.2, 0.6}) {
      for (const auto engine : {kFirst, kSecond}) {
        for (const int batch : {1, 4}) costs_[{engine, batch}] = {open_s, window_s * (engine == kSecond ? 0.9 : 1)};
      }
      const double begin_s = now_s_;
      search(2);
      EXPECT_LE(now_s_ - begin_s, 2) << "windows of " << window_s << " s, opened in " << open_s;
    }
  }
}

TEST_F(Trials, LeavesOutWhatWouldNotBeOpenInTime) {
  costs_[{kFirst, 1}].open_s = 1.2;
  EXPECT_EQ(search(2).winner.opened.setting, (Setting{kFirst, 1}));
  EXPECT_THAT(opened_, ElementsAre(Setting{kFirst, 1}));
}

TEST_F(Trials, LeavesOutABatchThatWouldNotBeRunInTime) {
  costs_[{kFirst, 1}].window_s = costs_[{kFirst, 4}].window_s = 0.06;
  (void)search(2, {kFirst});
  EXPECT_THAT(opened_, ElementsAre(Setting{kFirst, 1}));
}

TEST_F(Trials, OpensTheFirstHoweverLittleTimeThereIs) {
  costs_[{kFirst, 1}].open_s = 5;
  EXPECT_EQ(search(0.001).winner.opened.setting, (Setting{kFirst, 1}));
}

TEST_F(Trials, PassesOverASettingThatFails) {
  costs_[{kSecond, 1}].fails = true;
  const auto result = search(2);
  EXPECT_EQ(result.winner.opened.setting.engine, kFirst);
  EXPECT_EQ(result.settings.size(), 2U);
}

TEST_F(Trials, FailsWithTheFirst) {
  costs_[{kFirst, 1}].fails = true;
  EXPECT_THROW(search(2), Error);
}

TEST_F(Trials, DoesNotTakeABatchInWhichRowsDisturbEachOther) {
  costs_[{kFirst, 4}] = {.window_s = 0.001, .rows_independent = false};
  EXPECT_EQ(search(2, {kFirst}).winner.opened.setting.batch, 1);
}

}  // namespace
}  // namespace whimbrel
