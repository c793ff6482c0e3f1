#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>

#include "engines/models.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

class Convert : public testing::Test {
 protected:
  void SetUp() override {
    if (!engine_status(EngineKind::openvino).available) GTEST_SKIP() << engine_status(EngineKind::openvino).remedy;
    WHIMBREL_NEED_FILE("sed.onnx");
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(testing::TempDir()) / ("whimbrel-convert-" + std::string(test->name()));
    fs::remove_all(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path out(const std::string& name) const { return folder_ / name; }
  ConvertResult convert(const std::string& model, const std::string& to, const ConvertOptions& options = {}) const {
    return convert_model(test_file(model), out(to), options);
  }
  Error convert_error(const std::string& model, const std::string& to, const ConvertOptions& options = {}) const {
    return error_of([&] { convert(model, to, options); });
  }
  /// Files in the output's folder, hidden ones too.
  std::ptrdiff_t files() const {
    return fs::exists(folder_) ? std::distance(fs::directory_iterator(folder_), fs::directory_iterator()) : 0;
  }

  fs::path folder_;
};

TEST_F(Convert, WritesAnIrThatAnswersAsNumPyDoes) {
  const auto result = convert("sed.onnx", "net.xml");
  EXPECT_EQ(result.bin, out("net.bin"));
  EXPECT_EQ(result.batch, 0);
  EXPECT_EQ(result.outputs, 2U);
  EXPECT_FALSE(result.quantized);
  EXPECT_LT(result.largest_difference, 1e-5);
  EXPECT_GT(result.largest_value, 0.1);
  EXPECT_EQ(result.file_bytes, static_cast<std::int64_t>(fs::file_size(result.xml) + fs::file_size(result.bin)));
  EXPECT_EQ(files(), 2) << "nothing temporary stays";
  const auto info = inspect_model(result.xml, {});
  EXPECT_EQ(info.inputs[0].shape, (Shape{-1, 3, 16, 20}));
  const auto runner = open_session(EngineKind::openvino, result.xml, {.batch = 4, .outputs = {"clip"}})->make_runner();
  write_input(*runner, read_values("sed.input.f32"));
  runner->run();
  EXPECT_THAT(runner->output(0), Pointwise(FloatNear(1e-4F), read_values("sed.clip.f32")));  // as session_test.cc
}

TEST_F(Convert, FixesTheBatchAndFreeAxesWhenAsked) {
  EXPECT_EQ(convert("free_axes.onnx", "net.xml", {.batch = 3, .row_shape = {3, 12, 30}}).batch, 3);
  EXPECT_EQ(inspect_model(out("net.xml"), {}).inputs[0].shape, (Shape{3, 3, 12, 30}));
}

TEST_F(Convert, KeepsABatchThatTheModelFixes) {
  EXPECT_EQ(convert("fixed_batch.onnx", "net.xml").batch, 4);
  EXPECT_THAT(convert_error("fixed_batch.onnx", "two.xml", {.batch = 2}).what(), HasSubstr("use batch 4"));
}

TEST_F(Convert, HalvesTheWeightsAsFp16) {
  const auto whole = convert("sed.onnx", "whole.xml");
  const auto half = convert("sed.onnx", "half.xml", {.fp16 = true});
  EXPECT_LT(fs::file_size(half.bin), fs::file_size(whole.bin) * 6 / 10);
  EXPECT_GT(half.largest_difference, whole.largest_difference);
  EXPECT_LT(half.largest_difference, 2e-2 * half.largest_value);
}

TEST_F(Convert, KeepsAQuantizedModelQuantized) {
  EXPECT_TRUE(convert("quantized.onnx", "net.xml").quantized);
  EXPECT_EQ(inspect_model(out("net.xml"), {}).parameters, 12);
  EXPECT_LE(fs::file_size(out("net.bin")), 64U) << "twelve weights of a byte, scales and little else";
}

TEST_F(Convert, RefusesAProbeThatIsMissedAndWritesNothing) {
  const auto e = convert_error("sed.onnx", "net.xml", {.probe = std::vector<float>(5, 9.0F)});
  EXPECT_EQ(e.code(), ErrorCode::bad_manifest);
  EXPECT_FALSE(fs::exists(folder_)) << "it was made for this and holds nothing";
}

TEST_F(Convert, ReplacesWhatIsThereOnlyWhenAllowed) {
  convert("sed.onnx", "net.xml");
  const auto e = convert_error("linear.onnx", "net.xml");
  EXPECT_EQ(e.code(), ErrorCode::invalid_argument);
  EXPECT_THAT(e.what(), HasSubstr("net.xml is there already"));
  convert("linear.onnx", "net.xml", {.replace = true});
  EXPECT_EQ(inspect_model(out("net.xml"), {}).parameters, 12);
  EXPECT_EQ(files(), 2);
}

TEST_F(Convert, AFailureLeavesAnEarlierOutputAsItWas) {
  convert("sed.onnx", "net.xml");
  EXPECT_EQ(convert_error("broken.onnx", "net.xml", {.replace = true}).code(), ErrorCode::engine);
  EXPECT_EQ(inspect_model(out("net.xml"), {}).parameters, 16 * 3 * 9 + 16 + 5 * 16 + 5);
  EXPECT_EQ(files(), 2);
}

TEST_F(Convert, SaysWhatIsWrongWithWhatItWasGiven) {
  const auto missing = convert_error("nowhere.onnx", "net.xml");
  EXPECT_EQ(missing.code(), ErrorCode::not_found);
  EXPECT_THAT(missing.what(), HasSubstr("nowhere.onnx: no such file"));
  const auto ending = convert_error("sed.clip.f32", "net.xml");
  EXPECT_EQ(ending.code(), ErrorCode::unsupported);
  EXPECT_THAT(ending.what(), HasSubstr("ending '.f32', expected .onnx, .tflite or .xml"));
  const auto output = convert_error("sed.onnx", "net.ir");
  EXPECT_EQ(output.code(), ErrorCode::invalid_argument);
  EXPECT_THAT(output.what(), HasSubstr("expected a file name that ends in .xml"));
  EXPECT_EQ(convert_error("sed.onnx", "net.xml", {.batch = -1}).code(), ErrorCode::invalid_argument);
  EXPECT_EQ(convert_error("two_inputs.onnx", "net.xml").code(), ErrorCode::bad_manifest);
  EXPECT_THAT(convert_error("free_axes.onnx", "net.xml").what(), HasSubstr("axis 2 of input [?, 3, ?, ?] is free"));
  EXPECT_FALSE(fs::exists(folder_));
}

TEST_F(Convert, RefusesToWriteOverTheModelItself) {
  const auto xml = convert("sed.onnx", "net.xml").xml;
  const auto e = error_of([&] { convert_model(xml, xml, {.replace = true}); });
  EXPECT_THAT(e.what(), HasSubstr("is the model itself"));
}

TEST_F(Convert, SaysWhatAFolderThatCannotBeMadeIs) {
  fs::create_directories(folder_);
  std::ofstream(out("file")) << "no folder";
  EXPECT_EQ(convert_error("sed.onnx", "file/net.xml").code(), ErrorCode::io);
}

}  // namespace
}  // namespace whimbrel
