#include "pipeline/member_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <new>

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

const fs::path kModel = WHIMBREL_SOURCE_DIR "/examples/dawn_chorus/model/dawn_chorus.toml";

/// What a session does wrong in its next run.
enum class Fault { none, error, bad_alloc, no_runner, nan_in_row_1, infinite, manifest };

/// A real session whose runs go wrong when told to.
class Faulty final : public Session {
 public:
  Faulty(std::shared_ptr<Session> session, Fault& fault) : session_(std::move(session)), fault_(fault) {}
  const TensorInfo& input() const override { return session_->input(); }
  const std::vector<TensorInfo>& outputs() const override { return session_->outputs(); }
  std::unique_ptr<Runner> make_runner() override {
    ++made_;
    if (fault_ == Fault::no_runner) throw std::bad_alloc();
    return std::make_unique<FaultyRunner>(session_->make_runner(), fault_);
  }
  int made() const { return made_; }

 private:
  class FaultyRunner final : public Runner {
   public:
    FaultyRunner(std::unique_ptr<Runner> runner, Fault& fault) : runner_(std::move(runner)), fault_(fault) {}
    std::span<float> input() override { return runner_->input(); }
    void run() override {
      if (fault_ == Fault::error) throw Error(ErrorCode::engine, "onnxruntime: b0.onnx: broken");
      if (fault_ == Fault::manifest) throw Error(ErrorCode::bad_manifest, "not for this model");
      if (fault_ == Fault::bad_alloc) throw std::bad_alloc();
      runner_->run();
      out_.assign(runner_->output(0).begin(), runner_->output(0).end());
      if (fault_ == Fault::nan_in_row_1) out_[out_.size() / 2] = std::numeric_limits<float>::quiet_NaN();
      if (fault_ == Fault::infinite) std::ranges::fill(out_, std::numeric_limits<float>::infinity());
    }
    std::span<const float> output(std::size_t i) const override { return i == 0 ? out_ : runner_->output(i); }

   private:
    std::unique_ptr<Runner> runner_;
    Fault& fault_;
    std::vector<float> out_;
  };

  std::shared_ptr<Session> session_;
  Fault& fault_;
  int made_ = 0;
};

/// Two windows for the model of the example, in ONNX Runtime, which OpenVINO can stand in for.
class AMemberRunner : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const auto kind : {EngineKind::onnxruntime, EngineKind::openvino}) {
      if (!engine_status(kind).available) GTEST_SKIP() << engine_status(kind).remedy;
    }
    ensemble_ = load_ensemble({kModel}, 0);
    PredictOptions options;
    options.engine = "onnxruntime";
    options.batch = 2;
    open_sessions(ensemble_, options, 1);
    auto& member = ensemble_.members[0];
    session_ = std::make_shared<Faulty>(member.session, fault_);
    member.session = session_;
    fallback_ = std::make_shared<Fallback>(member, 1);
    runner_.emplace(ensemble_, member, fallback_);
    const auto& mel = member.session->input().shape;
    const auto plane = mel[2] * mel[3];
    for (std::int64_t index = 0; index < 2; ++index) {
      auto window = std::make_shared<Window>();
      window->index = index;
      window->features = {probe_input(plane)};
      for (auto& value : window->features[0]) value *= 1 - 0.5F * static_cast<float>(index);
      windows_.push_back(std::move(window));
    }
    clean_ = runner_->run(windows_).rows;
    ASSERT_EQ(clean_.size(), 2U);
    ASSERT_NE(clean_[0], clean_[1]);
  }

  BatchRows run_with(Fault fault) {
    fault_ = fault;
    auto rows = runner_->run(windows_);
    fault_ = Fault::none;
    return rows;
  }

  Fault fault_ = Fault::none;
  Ensemble ensemble_;
  std::shared_ptr<Faulty> session_;
  std::shared_ptr<Fallback> fallback_;
  std::optional<MemberRunner> runner_;
  std::vector<WindowPtr> windows_;
  std::vector<std::vector<float>> clean_;
};

TEST_F(AMemberRunner, TakesAnotherEnginesRowsForABatchThatItsOwnFailedOn) {
  for (const auto fault : {Fault::error, Fault::bad_alloc, Fault::infinite}) {
    const auto batch = run_with(fault);
    for (std::size_t i = 0; i < 2; ++i) EXPECT_THAT(batch.rows[i], Pointwise(FloatNear(1e-3F), clean_[i]));
    EXPECT_EQ(runner_->run(windows_).rows, clean_) << "the next one is its own engine's again";
  }
  EXPECT_EQ(fallback_->batches(), 3);
  EXPECT_EQ(fallback_->other().engine, "openvino");
}

TEST_F(AMemberRunner, KeepsTheRowsOfABatchThatAreFinite) {
  const auto batch = run_with(Fault::nan_in_row_1);
  EXPECT_EQ(batch.rows[0], clean_[0]);
  EXPECT_THAT(batch.rows[1], Pointwise(FloatNear(1e-3F), clean_[1]));
  EXPECT_EQ(fallback_->batches(), 1);
}

TEST_F(AMemberRunner, ThrowsARunnerAwayThatThrew) {
  EXPECT_EQ(session_->made(), 1);
  run_with(Fault::nan_in_row_1);
  runner_->run(windows_);
  EXPECT_EQ(session_->made(), 1);
  run_with(Fault::error);
  runner_->run(windows_);
  EXPECT_EQ(session_->made(), 2);
}

TEST_F(AMemberRunner, LivesWithoutARunnerOfItsOwnUntilOneCanBeMade) {
  run_with(Fault::error);
  const auto batch = run_with(Fault::no_runner);
  EXPECT_THAT(batch.rows[1], Pointwise(FloatNear(1e-3F), clean_[1]));
  EXPECT_EQ(runner_->run(windows_).rows, clean_);
}

TEST_F(AMemberRunner, WarnsOnceOfEachKindOfFault) {
  std::vector<std::string> warnings;
  set_log_sink([&](LogLevel level, std::string_view message) {
    if (level == LogLevel::warning) warnings.emplace_back(message);
  });
  for (int i = 0; i < 3; ++i) run_with(Fault::error);
  for (int i = 0; i < 3; ++i) run_with(Fault::infinite);
  set_log_sink({});
  ASSERT_EQ(warnings.size(), 2U);
  EXPECT_THAT(warnings[0], AllOf(HasSubstr("b0.onnx: broken"), HasSubstr("openvino runs such batches again")));
  EXPECT_THAT(warnings[1], HasSubstr("onnxruntime gave a value that is not finite"));
}

TEST_F(AMemberRunner, GivesNoRowsAndBothReasonsWhereTheOtherEngineCannotOpenTheModel) {
  auto member = ensemble_.members[0];
  member.manifest.probe->output.assign(member.manifest.probe->output.size(), 7.0F);
  const auto fallback = std::make_shared<Fallback>(member, 1);
  MemberRunner runner(ensemble_, member, fallback);
  fault_ = Fault::error;
  const auto batch = runner.run(windows_);
  EXPECT_EQ(batch.rows, std::vector<std::vector<float>>(2));
  EXPECT_THAT(batch.reason, AllOf(HasSubstr("b0.onnx: broken"), HasSubstr("no other engine can run it"), HasSubstr("off by")));
  EXPECT_EQ(fallback->batches(), 0);
}

TEST_F(AMemberRunner, LetsAnErrorThatIsNotTheEnginesEndTheRun) {
  EXPECT_THROW(run_with(Fault::manifest), Error);
  EXPECT_EQ(fallback_->batches(), 0);
}

}  // namespace
}  // namespace whimbrel
