// All engines through the same contract, against answers that NumPy computed in float64.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "engines/models.h"

namespace whimbrel {
namespace {

using testing::Each;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

// float32 sums of a few hundred products of magnitude 1 against float64: an error of 1e-6 is usual, 1e-4 the promise to users.
constexpr float kTolerance = 1e-4F;

class EachEngine : public testing::TestWithParam<EngineKind> {
 protected:
  void SetUp() override {
    const auto status = engine_status(GetParam());
    if (!status.available) GTEST_SKIP() << status.remedy;
    WHIMBREL_NEED_FILE(in_format_of(GetParam(), "linear.onnx"));
  }
  static std::unique_ptr<Session> open(const std::string& name, const SessionOptions& options) {
    return open_session(GetParam(), test_file(in_format_of(GetParam(), name)), options);
  }
  static Error open_error(const std::string& name, const SessionOptions& options) {
    return error_of([&] { open(name, options); });
  }
};

INSTANTIATE_TEST_SUITE_P(Engines, EachEngine, testing::ValuesIn(all_engines()),
                         [](const auto& tested) { return std::string(to_string(tested.param)); });

TEST_P(EachEngine, ComputesClipAndFrameOutputsAsNumPyDoes) {
  const auto session = open("sed.onnx", {.batch = 4});
  EXPECT_EQ(session->input().name, "mel");
  EXPECT_EQ(session->input().shape, (Shape{4, 3, 16, 20}));
  ASSERT_EQ(session->outputs().size(), 2U);
  EXPECT_EQ(session->outputs()[0].shape, (Shape{4, 5}));
  EXPECT_EQ(session->outputs()[1].shape, (Shape{4, 5, 10}));
  EXPECT_EQ(session->outputs()[1].element_type, "float32");
  const auto runner = session->make_runner();
  write_input(*runner, read_values("sed.input.f32"));
  runner->run();
  EXPECT_THAT(runner->output(0), Pointwise(FloatNear(kTolerance), read_values("sed.clip.f32")));
  EXPECT_THAT(runner->output(1), Pointwise(FloatNear(kTolerance), read_values("sed.frame.f32")));
}

TEST_P(EachEngine, GivesOutputsInTheOrderAskedFor) {
  const auto session = open("sed.onnx", {.batch = 4, .outputs = {"frame", "clip"}});
  EXPECT_EQ(session->outputs()[0].name, "frame");
  EXPECT_EQ(session->outputs()[1].name, "clip");
  const auto runner = session->make_runner();
  write_input(*runner, read_values("sed.input.f32"));
  runner->run();
  EXPECT_THAT(runner->output(0), Pointwise(FloatNear(kTolerance), read_values("sed.frame.f32")));
  EXPECT_THAT(runner->output(1), Pointwise(FloatNear(kTolerance), read_values("sed.clip.f32")));
}

TEST_P(EachEngine, FixesFreeAxesToTheRowShape) {
  const auto session = open("free_axes.onnx", {.batch = 4, .row_shape = {3, 12, 30}});
  EXPECT_EQ(session->input().shape, (Shape{4, 3, 12, 30}));
  EXPECT_EQ(session->outputs()[1].shape, (Shape{4, 5, 15})) << "the file says [batch, 5, batch], as torch's exporter does";
  const auto runner = session->make_runner();
  write_input(*runner, read_values("free_axes.input.f32"));
  runner->run();
  EXPECT_THAT(runner->output(0), Pointwise(FloatNear(kTolerance), read_values("free_axes.clip.f32")));
  EXPECT_THAT(runner->output(1), Pointwise(FloatNear(kTolerance), read_values("free_axes.frame.f32")));
}

TEST_P(EachEngine, KeepsItsInputOverRunsAndItsOutputInPlace) {
  for (const std::string name : {"in_place.onnx", "linear.onnx"}) {
    const auto runner = open(name, {.batch = 2})->make_runner();
    const std::vector<float> input{1, -2, 3, -4, 5, -6, 7, -8};
    write_input(*runner, input);
    runner->run();
    const auto* place = runner->output(0).data();
    const auto first = copy_of(runner->output(0));
    runner->run();
    EXPECT_EQ(copy_of(runner->input()), input) << name;
    EXPECT_EQ(copy_of(runner->output(0)), first) << name;
    EXPECT_EQ(runner->output(0).data(), place) << name;
  }
}

TEST_P(EachEngine, RunnersHaveMemoryOfTheirOwnAndMayOutliveTheSession) {
  auto session = open("linear.onnx", {.batch = 1, .workers = 2});
  const auto one = session->make_runner();
  const auto other = session->make_runner();
  session.reset();
  write_input(*one, {1, 0, 0, 0});
  write_input(*other, {0, 1, 0, 0});
  one->run();
  other->run();
  EXPECT_EQ(copy_of(one->output(0)), (std::vector<float>{0, -1, -2}));
  EXPECT_EQ(copy_of(other->output(0)), (std::vector<float>{1, 0, -1}));
}

TEST_P(EachEngine, RunnersAtTheSameTimeGiveTheBitsOfOneAlone) {
  const auto session = open("sed.onnx", {.batch = 4, .workers = 2});
  const auto base = read_values("sed.input.f32");
  constexpr int kThreads = 5;  // more than workers: they wait for each other, nothing else changes
  std::vector<std::vector<float>> inputs(kThreads, base);
  std::vector<std::vector<float>> alone(kThreads);
  for (std::size_t t = 0; t < kThreads; ++t) {
    for (auto& v : inputs[t]) v *= static_cast<float>(t + 1);
    const auto runner = session->make_runner();
    write_input(*runner, inputs[t]);
    runner->run();
    alone[t] = copy_of(runner->output(1));
  }
  std::vector<int> different(kThreads, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const auto runner = session->make_runner();
      std::ranges::copy(inputs[t], runner->input().begin());
      for (int i = 0; i < 50; ++i) {
        runner->run();
        different[t] += copy_of(runner->output(1)) != alone[t];
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(different, Each(0));
}

TEST_P(EachEngine, OneModelMayBeOpenAtSeveralBatchSizes) {
  const auto all = read_values("sed.input.f32");
  const auto want = read_values("sed.clip.f32");
  for (const std::int64_t batch : {1, 2, 4}) {
    const auto runner = open("sed.onnx", {.batch = batch})->make_runner();
    const auto rows = static_cast<std::ptrdiff_t>(batch);
    write_input(*runner, {all.begin(), all.begin() + rows * 3 * 16 * 20});
    runner->run();
    EXPECT_THAT(runner->output(0), Pointwise(FloatNear(kTolerance), std::vector<float>(want.begin(), want.begin() + rows * 5)));
  }
}

TEST_P(EachEngine, RefusesAnotherBatchThanTheFileFixes) {
  EXPECT_EQ(open("fixed_batch.onnx", {.batch = 4})->input().shape, (Shape{4, 4}));
  const auto e = open_error("fixed_batch.onnx", {.batch = 2});
  EXPECT_EQ(e.code(), ErrorCode::bad_manifest);
  EXPECT_THAT(e.what(), HasSubstr(in_format_of(GetParam(), "fixed_batch.onnx") +
                                  ": the batch axis of input [4, 4] is fixed, asked for 2; use batch 4"));
}

TEST_P(EachEngine, RefusesRowsThatDoNotFitTheInput) {
  EXPECT_THAT(open_error("sed.onnx", {.row_shape = {3, 16, 21}}).what(),
              HasSubstr("a row of input [?, 3, 16, 20] is not [3, 16, 21]"));
  EXPECT_THAT(open_error("sed.onnx", {.row_shape = {16, 20}}).what(), HasSubstr("expected a batch axis and then [16, 20]"));
  EXPECT_THAT(open_error("free_axes.onnx", {}).what(), HasSubstr("axis 2 of input [?, 3, ?, ?] is free, expected a size"));
  EXPECT_EQ(open_error("free_axes.onnx", {}).code(), ErrorCode::bad_manifest);
}

TEST_P(EachEngine, RefusesSizesBelowOne) {
  EXPECT_EQ(open_error("linear.onnx", {.batch = 0}).code(), ErrorCode::invalid_argument);
  EXPECT_EQ(open_error("linear.onnx", {.workers = 0}).code(), ErrorCode::invalid_argument);
  EXPECT_EQ(open_error("linear.onnx", {.row_shape = {-1}}).code(), ErrorCode::invalid_argument);
}

TEST_P(EachEngine, RefusesModelsWithOtherInputs) {
  const auto two = open_error("two_inputs.onnx", {});
  EXPECT_EQ(two.code(), ErrorCode::bad_manifest);
  EXPECT_THAT(two.what(), HasSubstr("the model has 2 inputs ("));
  EXPECT_THAT(two.what(), HasSubstr("), expected 1"));
  if (GetParam() == EngineKind::torchscript) return;  // a TorchScript file does not say what its input's numbers are
  const auto integers = open_error("integer_input.onnx", {});
  EXPECT_EQ(integers.code(), ErrorCode::bad_manifest);
  EXPECT_THAT(integers.what(), HasSubstr("input 'x' is int64, expected float32"));
}

TEST_P(EachEngine, RefusesOutputsThatAreNoScoresOfAWindow) {
  EXPECT_THAT(open_error("sed.onnx", {.outputs = {"clip", "clap"}}).what(),
              HasSubstr("no output 'clap', the model has: clip, frame"));
  EXPECT_EQ(open_error("sed.onnx", {.outputs = {"clap"}}).code(), ErrorCode::bad_manifest);
  EXPECT_THAT(open_error("integer_output.onnx", {.batch = 2}).what(), HasSubstr("output 'best' is int64, expected float32"));
  EXPECT_EQ(open("integer_output.onnx", {.batch = 2, .outputs = {"y"}})->outputs().size(), 1U);
  EXPECT_THAT(open_error("no_batch_output.onnx", {.batch = 2}).what(), HasSubstr("output 'mean' is [], expected [2, ...]"));
}

TEST_P(EachEngine, SaysWhatTheEngineSaidOfAModelItCannotUse) {
  for (const auto& e : {open_error("broken.onnx", {}), open_error("wrong_inside.onnx", {.row_shape = {5}})}) {
    EXPECT_EQ(e.code(), ErrorCode::engine);
    EXPECT_THAT(e.what(), HasSubstr(std::string(to_string(GetParam())) + ": "));
    EXPECT_THAT(e.what(), testing::Not(HasSubstr("\n")));
  }
}

TEST_P(EachEngine, SaysWhereAModelIsMissing) {
  const auto e = open_error("nowhere.onnx", {});
  EXPECT_EQ(e.code(), ErrorCode::not_found);
  EXPECT_THAT(e.what(), HasSubstr(in_format_of(GetParam(), "nowhere.onnx") + ": no such file"));
}

TEST(Engines, AgreeWithEachOther) {
  WHIMBREL_NEED_FILE("sed.onnx");
  // All in this process: their libraries must not mix up each other's symbols (two of them hold a protobuf of their own).
  std::vector<std::unique_ptr<Session>> sessions;
  for (const auto kind : all_engines()) {
    if (!engine_status(kind).available) GTEST_SKIP() << engine_status(kind).remedy;
    WHIMBREL_NEED_FILE(in_format_of(kind, "sed.onnx"));
    sessions.push_back(open_session(kind, test_file(in_format_of(kind, "sed.onnx")), {.batch = 4}));
  }
  std::vector<std::vector<float>> clips;
  for (const auto& session : sessions) {
    const auto runner = session->make_runner();
    write_input(*runner, read_values("sed.input.f32"));
    runner->run();
    clips.push_back(copy_of(runner->output(0)));
  }
  for (const auto& clip : clips) EXPECT_THAT(clip, Pointwise(FloatNear(kTolerance), clips[0]));
}

TEST(Engines, ReadTheFilesTheySayTheyRead) {
  EXPECT_TRUE(engine_reads(EngineKind::onnxruntime, "a/net.onnx"));
  EXPECT_FALSE(engine_reads(EngineKind::onnxruntime, "net.xml"));
  EXPECT_FALSE(engine_reads(EngineKind::onnxruntime, "net.tflite"));
  for (const auto* name : {"net.onnx", "net.xml", "net.tflite"}) EXPECT_TRUE(engine_reads(EngineKind::openvino, name));
  EXPECT_FALSE(engine_reads(EngineKind::openvino, "net.pt"));
  EXPECT_TRUE(engine_reads(EngineKind::torchscript, "net.pt"));
  EXPECT_FALSE(engine_reads(EngineKind::torchscript, "net.onnx"));
  WHIMBREL_NEED_FILE("sed.xml");
  const auto e = error_of([] { open_session(EngineKind::onnxruntime, test_file("sed.xml"), {}); });
  EXPECT_EQ(e.code(), ErrorCode::unsupported);
  EXPECT_THAT(e.what(), HasSubstr("this engine reads .onnx; use another engine"));
}

TEST(OpenVino, RunsItsOwnFormat) {
  WHIMBREL_NEED_FILE("sed.xml");
  const auto runner =
      open_session(EngineKind::openvino, test_file("sed.xml"), {.batch = 4, .outputs = {"clip"}})->make_runner();
  write_input(*runner, read_values("sed.input.f32"));
  runner->run();
  EXPECT_THAT(runner->output(0), Pointwise(FloatNear(kTolerance), read_values("sed.clip.f32")));
}

TEST(OpenVino, ReadsTheRealPartOfATfliteSpectrum) {
  WHIMBREL_NEED_FILE("real_spectrum.tflite");
  const auto runner = open_session(EngineKind::openvino, test_file("real_spectrum.tflite"), {.batch = 1})->make_runner();
  write_input(*runner, probe_input(4 * 8));
  runner->run();
  EXPECT_THAT(runner->output(0), Pointwise(FloatNear(1e-5F), read_values("real_spectrum.y.f32")));  // sums of 8 values below 1
}

TEST(OpenVino, RefusesATfliteSpectrumWhoseImaginaryPartIsUsed) {
  WHIMBREL_NEED_FILE("magnitude_spectrum.tflite");
  const auto magnitude = error_of([] { open_session(EngineKind::openvino, test_file("magnitude_spectrum.tflite"), {}); });
  EXPECT_EQ(magnitude.code(), ErrorCode::engine);
  EXPECT_THAT(magnitude.what(), HasSubstr("COMPLEX_ABS"));
  const auto complex = error_of([] { open_session(EngineKind::openvino, test_file("complex_spectrum.tflite"), {}); });
  EXPECT_EQ(complex.code(), ErrorCode::engine);
  EXPECT_THAT(complex.what(), HasSubstr("the imaginary part of RFFT2D is used by Result"));
}

TEST(OpenVino, RunsBirdNetAsLiteRtDoes) {
  WHIMBREL_NEED_FILE("birdnet.logits.f32");
  std::string model;
  std::getline(std::ifstream(test_file("birdnet.path")), model);
  const auto session = open_session(EngineKind::openvino, model, {.batch = 3, .row_shape = {144000}});
  ASSERT_EQ(session->outputs().size(), 1U);
  EXPECT_EQ(session->outputs()[0].shape, (Shape{3, 6522}));
  const auto runner = session->make_runner();
  write_input(*runner, read_values("birdnet.input.f32"));
  runner->run();
  // float32 through some 60 convolutions, logits up to 16: FINDINGS.md measured 3.3e-5 between the two.
  EXPECT_THAT(runner->output(0), Pointwise(FloatNear(1e-4F), read_values("birdnet.logits.f32")));
}

}  // namespace
}  // namespace whimbrel
