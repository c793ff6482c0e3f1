#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sndfile.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "whimbrel/io.h"
#include "whimbrel/pipeline.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

std::vector<float> chirp(double seconds, double from_hz) {
  std::vector<float> samples(static_cast<std::size_t>(seconds * 32000));
  for (std::size_t n = 0; n < samples.size(); ++n) {
    const double t = static_cast<double>(n) / 32000;
    samples[n] = static_cast<float>(std::round(8000 * std::sin(6.28 * (from_hz + 200 * t) * t)) / 32768);
  }
  return samples;
}

class PredictorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(root_ / "in" / "deep");
    write("in/a.wav", chirp(23, 1500));
    write("in/deep/b.wav", chirp(4, 3000));
    options_.models = {WHIMBREL_SOURCE_DIR "/examples/dawn_chorus/model/dawn_chorus.toml"};
    options_.engine = "onnxruntime";
    options_.batch = 2;
    options_.threshold = 0.01;
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& name, const std::vector<float>& samples) const {
    SF_INFO info{.frames = 0, .samplerate = 32000, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    SNDFILE* file = sf_open((root_ / name).c_str(), SFM_WRITE, &info);
    ASSERT_NE(file, nullptr);
    ASSERT_EQ(sf_writef_float(file, samples.data(), std::ssize(samples)), std::ssize(samples));
    sf_close(file);
  }

  std::string input() const { return (root_ / "in").string(); }

  static std::map<std::string, std::string> files_in(const fs::path& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.is_regular_file() && entry.path().filename() != "run.json")
        files[entry.path().lexically_relative(folder).string()] = read_file(entry.path());
    }
    return files;
  }

  fs::path root_ = fs::path(::testing::TempDir()) / ("predictor-" + std::to_string(getpid()));
  PredictOptions options_;
};

TEST_F(PredictorTest, WhatItKeepsIsWrittenAsPredictWritesIt) {
  const std::vector<std::string> formats = {"kaggle", "csv", "raven", "audacity", "kaleidoscope", "jsonl", "npy"};
  auto direct = options_;
  direct.inputs = {input()};
  direct.out_dir = root_ / "direct";
  direct.formats = formats;
  predict(direct);

  Predictor predictor(options_);
  const auto kept = predictor.predict({.inputs = {input()}});
  EXPECT_EQ(kept.scores.size(), 6 * predictor.labels().size());
  EXPECT_EQ(kept.recording, (std::vector<std::uint32_t>{0, 0, 0, 0, 0, 1}));
  EXPECT_EQ(kept.window, (std::vector<std::int64_t>{0, 1, 2, 3, 4, 0}));
  EXPECT_GT(kept.detections.size(), 0U);
  write_prediction(kept, formats, root_ / "kept");
  EXPECT_EQ(files_in(root_ / "kept"), files_in(root_ / "direct"));
}

TEST_F(PredictorTest, WhatItKeepsIsWrittenWithAbsoluteTimesToo) {
  write("in/SITE_20230501_050000.wav", chirp(7, 2000));
  const std::vector<std::string> formats = {"kaggle", "csv", "raven", "audacity", "kaleidoscope", "jsonl", "npy"};
  auto direct = options_;
  direct.inputs = {input()};
  direct.out_dir = root_ / "direct";
  direct.formats = formats;
  direct.absolute_time = true;
  predict(direct);

  Predictor predictor(options_);
  const auto kept = predictor.predict({.inputs = {input()}, .samples = {{"20230501_050000", chirp(4, 500), 32000}}});
  EXPECT_EQ(rfc3339(kept.run.recordings.at(3).began.value()), "2023-05-01T05:00:00.000");
  const auto of_files = predictor.predict({.inputs = {input()}});
  write_prediction(of_files, formats, root_ / "kept", {}, true);
  EXPECT_EQ(files_in(root_ / "kept"), files_in(root_ / "direct"));
  EXPECT_NE(files_in(root_ / "kept").at("detections.csv").find(",2023-05-01T05:00:00.000,2023-05-01T05:00:05.000\n"),
            std::string::npos);
}

TEST_F(PredictorTest, SamplesInMemoryScoreAsTheFileThatHoldsThem) {
  Predictor predictor(options_);
  const auto of_file = predictor.predict({.inputs = {(root_ / "in/a.wav").string()}});
  const auto of_samples = predictor.predict({.samples = {{"a", chirp(23, 1500), 32000}}});
  EXPECT_EQ(of_samples.scores, of_file.scores);
  EXPECT_EQ(of_samples.run.recordings.at(0).path, "a");
  EXPECT_EQ(of_samples.run.recordings.at(0).codec, "array");
  EXPECT_EQ(of_samples.run.recordings.at(0).state, RecordingState::done);
}

TEST_F(PredictorTest, CallsDoNotChangeEachOther) {
  Predictor predictor(options_);
  const auto first = predictor.predict({.inputs = {input()}});
  const auto other = predictor.predict({.samples = {{"noise", chirp(60, 500), 32000}}});
  const auto again = predictor.predict({.inputs = {input()}});
  EXPECT_EQ(first.scores, again.scores);
  EXPECT_EQ(other.run.windows, 12);
  EXPECT_EQ(again.run.windows, 6);
  EXPECT_GT(again.run.cpu_s, 0);
  EXPECT_LT(again.run.cpu_s, again.run.wall_s * 64);
}

TEST_F(PredictorTest, ABadRecordingIsARowOfTheLedgerAndOfTheRecord) {
  std::ofstream(root_ / "in/c.wav") << "not sound";
  Predictor predictor(options_);
  const auto kept = predictor.predict({.inputs = {input()}, .samples = {{"empty", {}, 32000}, {"fast", {0, 0}, 99'000'000}}});
  ASSERT_EQ(kept.run.recordings.size(), 5U);
  EXPECT_EQ(kept.run.count(RecordingState::failed), 3U);
  EXPECT_EQ(kept.run.count(RecordingState::done), 2U);
  EXPECT_EQ(kept.relative.size(), 5U);
  const auto record = nlohmann::json::parse(kept.record);
  EXPECT_EQ(record["summary"]["failed"], 3);
  EXPECT_EQ(record["recordings"][1]["state"], "failed");
  write_prediction(kept, {"raven"}, root_ / "kept");  // the failed ones have no file, as with predict()
  EXPECT_EQ(files_in(root_ / "kept").size(), 2U);
}

TEST_F(PredictorTest, RefusesWhatPredictRefuses) {
  Predictor predictor(options_);
  EXPECT_THROW(predictor.predict({}), Error);
  EXPECT_THROW(predictor.predict({.inputs = {(root_ / "nowhere").string()}}), Error);
  EXPECT_THROW(predictor.predict({.inputs = {input()}, .budget_s = -1}), Error);
  options_.engine = "nonsense";
  EXPECT_THROW(Predictor{options_}, Error);
}

TEST_F(PredictorTest, ABudgetCountsFromTheCall) {
  Predictor predictor(options_);
  const auto kept = predictor.predict({.inputs = {input()}, .budget_s = 60});
  EXPECT_FALSE(kept.run.out_of_time);
  EXPECT_LT(kept.run.wall_s, 60);
  EXPECT_EQ(kept.run.windows, 6);
}

TEST_F(PredictorTest, TheTimelineAddsUpToTheStages) {
  Predictor predictor(options_);
  const auto run = predictor.predict({.inputs = {input()}}).run;
  const auto sum = [](const std::vector<double>& line) { return std::accumulate(line.begin(), line.end(), 0.0); };
  EXPECT_NEAR(sum(run.timeline.infer_s), run.stages.infer_s, 1e-6);
  EXPECT_NEAR(sum(run.timeline.decode_s), run.stages.decode_s, 1e-6);
  EXPECT_GT(run.timeline.bucket_s, 0);
}

}  // namespace
}  // namespace whimbrel
