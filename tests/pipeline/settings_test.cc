#include "pipeline/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace whimbrel {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::filesystem::path kModel = WHIMBREL_SOURCE_DIR "/examples/dawn_chorus/model/dawn_chorus.toml";

TEST(Settings, AutoTakesTheFirstEngineThatReadsTheModelAndOneWindowABatch) {
  const auto opened = open_best(load_manifest(kModel), {.workers = 2});
  EXPECT_EQ(opened.setting.engine, EngineKind::onnxruntime);
  EXPECT_EQ(opened.setting.batch, 1);
  EXPECT_EQ(opened.session->input().shape[0], 1);
  EXPECT_TRUE(opened.check.rows_independent);
  EXPECT_LT(opened.check.probe_difference, 1e-3);
}

TEST(Settings, KeepsWhatTheUserNamed) {
  const auto opened = open_best(load_manifest(kModel), {.engine = "openvino", .batch = 3});
  EXPECT_EQ(opened.setting.engine, EngineKind::openvino);
  EXPECT_EQ(opened.setting.batch, 3);
  EXPECT_EQ(opened.session->input().shape[0], 3);
}

TEST(Settings, RefusesAnUnknownEngineWithTheClosest) {
  EXPECT_THAT([] { (void)open_best(load_manifest(kModel), {.engine = "openvin"}); },
              ThrowsMessage<Error>(AllOf(HasSubstr("\"openvin\""), HasSubstr("did you mean openvino?"))));
}

TEST(Settings, RefusesAnOutputThatDoesNotFitTheLabels) {
  auto manifest = load_manifest(kModel);
  manifest.labels.pop_back();
  EXPECT_THAT([&] { (void)open_best(manifest, {.engine = "onnxruntime"}); },
              ThrowsMessage<Error>(HasSubstr("for the 11 labels")));
}

TEST(Settings, RefusesAModelThatNoEngineReads) {
  auto manifest = load_manifest(kModel);
  manifest.model_path = "net.pickle";
  EXPECT_THAT([&] { (void)open_best(manifest, {}); }, ThrowsMessage<Error>(HasSubstr("no engine here reads this model")));
}

}  // namespace
}  // namespace whimbrel
