// What only TorchScript files have: no names, no shapes, and code that may do anything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engines/models.h"

namespace whimbrel {
namespace {

using testing::HasSubstr;

class TorchScript : public testing::Test {
 protected:
  void SetUp() override {
    if (!engine_status(EngineKind::torchscript).available) GTEST_SKIP() << engine_status(EngineKind::torchscript).remedy;
    WHIMBREL_NEED_FILE("linear.pt");
  }
  static std::unique_ptr<Session> open(const std::string& name, const SessionOptions& options) {
    return open_session(EngineKind::torchscript, test_file(name), options);
  }
  static Error open_error(const std::string& name, const SessionOptions& options) {
    return error_of([&] { open(name, options); });
  }
};

TEST_F(TorchScript, NumbersTheOutputsOfAFileThatNamesNone) {
  const auto session = open("unnamed.pt", {.batch = 1, .row_shape = {4}});
  ASSERT_EQ(session->outputs().size(), 2U);
  EXPECT_EQ(session->outputs()[0].name, "output_0");
  EXPECT_EQ(session->outputs()[1].shape, (Shape{1, 4}));
  const auto runner = open("unnamed.pt", {.batch = 1, .row_shape = {4}, .outputs = {"output_1"}})->make_runner();
  write_input(*runner, {1, -2, 3, -4});
  runner->run();
  EXPECT_EQ(copy_of(runner->output(0)), (std::vector<float>{0, 2, 0, 4}));
}

TEST_F(TorchScript, NeedsTheRowShapeOfAFileThatSaysNone) {
  const auto e = open_error("unnamed.pt", {});
  EXPECT_EQ(e.code(), ErrorCode::bad_manifest);
  EXPECT_THAT(e.what(), HasSubstr("the file does not say the shape of its input"));
}

TEST_F(TorchScript, RefusesARecordThatDoesNotFitTheNetwork) {
  const auto e = open_error("too_many_names.pt", {});
  EXPECT_EQ(e.code(), ErrorCode::bad_manifest);
  EXPECT_THAT(e.what(), HasSubstr("its whimbrel.json names 2 outputs, the network has 1; export the model again"));
}

TEST_F(TorchScript, RefusesWhatIsNotTensors) {
  const auto e = open_error("dictionary.pt", {.row_shape = {4}});
  EXPECT_EQ(e.code(), ErrorCode::bad_manifest);
  EXPECT_THAT(e.what(), HasSubstr("it returns Dict(str, Tensor), expected a tensor or a tuple of tensors"));
}

TEST_F(TorchScript, SaysThatACheckpointIsNoNetwork) {
  const auto e = open_error("checkpoint.pt", {.row_shape = {4}});
  EXPECT_EQ(e.code(), ErrorCode::engine);
  EXPECT_THAT(e.what(), HasSubstr("expected TorchScript"));
  EXPECT_THAT(e.what(), testing::Not(HasSubstr("\n")));
}

TEST_F(TorchScript, RefusesAnOutputWhoseShapeChangesWithTheData) {
  const auto runner = open("data_dependent.pt", {.batch = 2})->make_runner();
  write_input(*runner, {3, 1, 1, 1, 1, 1, 1, 1});
  const auto e = error_of([&] { runner->run(); });
  EXPECT_EQ(e.code(), ErrorCode::engine);
  EXPECT_THAT(e.what(), HasSubstr("output 'y' is [2, 3] now, expected [2, 0] as at the first run"));
}

TEST_F(TorchScript, TellsOfAFileWhatARunShows) {
  const auto info = inspect_model(test_file("sed.pt"), {3, 16, 20});
  EXPECT_EQ(info.format, "torchscript");
  EXPECT_EQ(info.parameters, 16 * 3 * 9 + 16 + 5 * 16 + 5);
  EXPECT_EQ(info.macs, 0);
  ASSERT_EQ(info.inputs.size(), 1U);
  EXPECT_EQ(info.inputs[0].name, "mel");
  EXPECT_EQ(info.inputs[0].shape, (Shape{-1, 3, 16, 20}));
  ASSERT_EQ(info.outputs.size(), 2U);
  EXPECT_EQ(info.outputs[1].name, "frame");
  EXPECT_EQ(info.outputs[1].shape, (Shape{-1, 5, 10}));
  EXPECT_EQ(info.file_bytes, static_cast<std::int64_t>(std::filesystem::file_size(test_file("sed.pt"))));
}

TEST_F(TorchScript, TellsLittleOfAFileThatCannotBeRun) {
  EXPECT_TRUE(inspect_model(test_file("unnamed.pt"), {}).outputs.empty());
  EXPECT_EQ(inspect_model(test_file("two_inputs.pt"), {4}).inputs.size(), 2U);
  EXPECT_EQ(error_of([] { inspect_model(test_file("broken.pt"), {}); }).code(), ErrorCode::engine);
}

}  // namespace
}  // namespace whimbrel
