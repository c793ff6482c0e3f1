#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engines/models.h"

namespace whimbrel {
namespace {

using testing::HasSubstr;

class InspectModel : public testing::Test {
 protected:
  void SetUp() override {
    if (!engine_status(EngineKind::openvino).available) GTEST_SKIP() << engine_status(EngineKind::openvino).remedy;
    WHIMBREL_NEED_FILE("linear.onnx");
  }
};

// 3 -> 16 channels 3x3 and bias, 16 -> 5 classes and bias.
constexpr std::int64_t kSedParameters = 16 * 3 * 9 + 16 + 5 * 16 + 5;
// Stride 2 on 16x20: 8x10 positions; the head at 10 frames.
constexpr std::int64_t kSedMacs = 16 * 8 * 10 * 27 + 5 * 10 * 16;

TEST_F(InspectModel, CountsWhatAnOnnxFileHolds) {
  const auto info = inspect_model(test_file("sed.onnx"), {});
  ASSERT_EQ(info.inputs.size(), 1U);
  EXPECT_EQ(info.inputs[0].name, "mel");
  EXPECT_EQ(info.inputs[0].shape, (Shape{-1, 3, 16, 20}));
  EXPECT_EQ(info.inputs[0].element_type, "float32");
  ASSERT_EQ(info.outputs.size(), 2U);
  EXPECT_EQ(info.outputs[0].name, "clip");
  EXPECT_EQ(info.outputs[0].shape, (Shape{-1, 5}));
  EXPECT_EQ(info.parameters, kSedParameters);
  EXPECT_EQ(info.macs, kSedMacs);
  EXPECT_EQ(info.file_bytes, static_cast<std::int64_t>(std::filesystem::file_size(test_file("sed.onnx"))));
  EXPECT_EQ(info.format, "onnx");
}

TEST_F(InspectModel, CountsBothFilesOfAnIr) {
  WHIMBREL_NEED_FILE("sed.xml");
  const auto info = inspect_model(test_file("sed.xml"), {});
  EXPECT_EQ(info.parameters, kSedParameters);
  EXPECT_EQ(info.macs, kSedMacs);
  EXPECT_EQ(info.format, "openvino");
  EXPECT_EQ(info.file_bytes, static_cast<std::int64_t>(std::filesystem::file_size(test_file("sed.xml")) +
                                                       std::filesystem::file_size(test_file("sed.bin"))));
}

TEST_F(InspectModel, NeedsTheRowShapeToCountMacsOfFreeAxes) {
  EXPECT_EQ(inspect_model(test_file("free_axes.onnx"), {}).macs, 0);
  EXPECT_EQ(inspect_model(test_file("free_axes.onnx"), {3, 12, 30}).macs, 16 * 6 * 15 * 27 + 5 * 15 * 16);
  EXPECT_EQ(inspect_model(test_file("free_axes.onnx"), {3, 12, 30}).inputs[0].shape, (Shape{-1, 3, -1, -1}));
}

TEST_F(InspectModel, CountsOneRowOfAFixedBatch) { EXPECT_EQ(inspect_model(test_file("fixed_batch.onnx"), {}).macs, 4 * 3); }

TEST_F(InspectModel, CountsQuantizedWeightsButNotTheirScales) {
  const auto info = inspect_model(test_file("quantized.onnx"), {});
  EXPECT_EQ(info.parameters, 12);
  EXPECT_EQ(info.macs, 12);
}

TEST_F(InspectModel, DescribesModelsThatCannotBeRun) {
  const auto two = inspect_model(test_file("two_inputs.onnx"), {});
  EXPECT_EQ(two.inputs.size(), 2U);
  EXPECT_EQ(two.macs, 0);
  EXPECT_EQ(inspect_model(test_file("integer_input.onnx"), {}).inputs[0].element_type, "int64");
}

TEST_F(InspectModel, ThrowsForWhatItCannotRead) {
  EXPECT_EQ(error_of([] { inspect_model(test_file("nowhere.onnx"), {}); }).code(), ErrorCode::not_found);
  const auto e = error_of([] { inspect_model(test_file("sed.clip.f32"), {}); });
  EXPECT_EQ(e.code(), ErrorCode::unsupported);
  EXPECT_THAT(e.what(), HasSubstr("ending '.f32', expected .onnx, .xml, .tflite or .pt"));
  EXPECT_EQ(error_of([] { inspect_model(test_file("broken.onnx"), {}); }).code(), ErrorCode::engine);
}

TEST_F(InspectModel, ReadsBirdNet) {
  WHIMBREL_NEED_FILE("birdnet.path");
  std::string model;
  std::getline(std::ifstream(test_file("birdnet.path")), model);
  const auto info = inspect_model(model, {});
  EXPECT_EQ(info.format, "tflite");
  EXPECT_EQ(info.inputs[0].shape, (Shape{-1, 144000}));
  EXPECT_EQ(info.outputs[0].shape, (Shape{-1, 6522}));
  EXPECT_GT(info.parameters * 4, info.file_bytes * 95 / 100) << "the file is weights and little else";
  EXPECT_LE(info.parameters * 4, info.file_bytes);
  EXPECT_GT(info.macs, 100'000'000);
}

}  // namespace
}  // namespace whimbrel
