#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sndfile.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "whimbrel/io.h"
#include "whimbrel/pipeline.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;

const fs::path kModel = WHIMBREL_SOURCE_DIR "/examples/dawn_chorus/model/dawn_chorus.toml";

/// Runs of the whole pipeline inside this process, so that the sanitizers see its threads.
class Predict : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(root_ / "in");
    options_.inputs = {(root_ / "in").string()};
    options_.models = {kModel};
    options_.out_dir = root_ / "out";
    options_.engine = "onnxruntime";
    options_.batch = 2;
    options_.formats = {"npy", "csv"};
  }
  void TearDown() override { fs::remove_all(root_); }

  void write_chirp(const std::string& name, double seconds, int rate_hz = 32000) const {
    std::vector<float> samples(static_cast<std::size_t>(seconds * rate_hz));
    for (std::size_t n = 0; n < samples.size(); ++n) {
      const double t = static_cast<double>(n) / rate_hz;
      samples[n] = static_cast<float>(0.3 * std::sin(6.28 * (1000 + 300 * static_cast<double>(name.size()) + 200 * t) * t));
    }
    SF_INFO info{.frames = 0, .samplerate = rate_hz, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    SNDFILE* file = sf_open((root_ / "in" / name).c_str(), SFM_WRITE, &info);
    ASSERT_NE(file, nullptr);
    ASSERT_EQ(sf_writef_float(file, samples.data(), std::ssize(samples)), std::ssize(samples));
    sf_close(file);
  }

  std::map<std::string, std::string> output() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(options_.out_dir)) {
      if (entry.path().filename() != "run.json") files[entry.path().filename().string()] = read_file(entry.path());
    }
    return files;
  }

  fs::path root_ = fs::path(::testing::TempDir()) / ("predict-" + std::to_string(getpid()));
  PredictOptions options_;
};

TEST_F(Predict, GivesTheSameBytesForAnyNumberOfWorkers) {
  write_chirp("a.wav", 23);
  write_chirp("bb.wav", 4, 44100);
  write_chirp("ccc.wav", 12.4, 22050);
  std::vector<std::map<std::string, std::string>> outputs;
  for (const int workers : {1, 2, 7}) {
    options_.threads = workers;
    const auto result = predict(options_);
    EXPECT_EQ(result.windows, 5 + 1 + 2);  // 23 s: four whole windows and one of 3 s; 12.4 s: its last 2.4 s are dropped
    EXPECT_EQ(result.count(RecordingState::done), 3U);
    outputs.push_back(output());
  }
  EXPECT_EQ(outputs[0].size(), 3U);  // scores.npy, scores.index.csv, detections.csv
  EXPECT_EQ(outputs[0], outputs[1]);
  EXPECT_EQ(outputs[0], outputs[2]);
  EXPECT_EQ(read_npy(options_.out_dir / "scores.npy").shape, (Shape{8, 12}));
}

TEST_F(Predict, ScoresTheGoodRecordingsAmongBadOnes) {
  write_chirp("a.wav", 6);
  AtomicFile bad(root_ / "in" / "b.wav");
  bad.write("not a recording");
  bad.commit();
  write_chirp("c.wav", 6);
  options_.threads = 2;
  const auto result = predict(options_);
  ASSERT_EQ(result.recordings.size(), 3U);
  EXPECT_EQ(result.recordings[0].state, RecordingState::done);
  EXPECT_EQ(result.recordings[1].state, RecordingState::failed);
  EXPECT_THAT(result.recordings[1].error, HasSubstr("b.wav"));
  EXPECT_EQ(result.recordings[2].state, RecordingState::done);
}

TEST_F(Predict, StopsCleanlyWhenAskedAndNamesWhatIsMissing) {
  for (const char* name : {"a.wav", "b.wav", "c.wav"}) write_chirp(name, 60);
  std::atomic<bool> cancel{false};
  options_.cancel = &cancel;
  options_.threads = 1;
  options_.on_progress = [&](const Progress&) { cancel = true; };  // the first report comes with the first window
  const auto result = predict(options_);
  EXPECT_TRUE(result.cancelled);
  EXPECT_EQ(result.recordings.back().state, RecordingState::cancelled);
  EXPECT_THAT(result.recordings.back().error, HasSubstr("stopped"));
  std::int64_t written = 0;
  for (const auto& recording : result.recordings) {
    if (recording.state == RecordingState::done) written += recording.windows;
  }
  EXPECT_EQ(read_npy(options_.out_dir / "scores.npy").shape, (Shape{written, 12}));
}

TEST_F(Predict, ReportsProgressThatNeverRunsBackwards) {
  for (const char* name : {"a.wav", "b.wav", "c.wav", "d.wav"}) write_chirp(name, 100);
  std::vector<Progress> seen;
  options_.threads = 2;
  options_.on_progress = [&](const Progress& progress) { seen.push_back(progress); };
  const auto result = predict(options_);
  ASSERT_FALSE(seen.empty());
  EXPECT_THAT(seen, Each(Field(&Progress::recordings_total, 4U)));
  for (std::size_t i = 1; i < seen.size(); ++i) {
    EXPECT_GE(seen[i].windows_done, seen[i - 1].windows_done);
    EXPECT_GE(seen[i].recordings_done, seen[i - 1].recordings_done);
  }
  EXPECT_LE(seen.back().windows_done, result.windows);
}

TEST_F(Predict, EndsWithTheFirstErrorThatIsNotAboutARecording) {
  write_chirp("a.wav", 30);
  options_.threads = 2;
  options_.on_progress = [](const Progress&) { throw Error(ErrorCode::io, "the disk is full"); };
  EXPECT_THAT([this] { (void)predict(options_); }, ::testing::ThrowsMessage<Error>(HasSubstr("the disk is full")));
  EXPECT_FALSE(fs::exists(options_.out_dir / "scores.npy"));
  EXPECT_FALSE(fs::exists(options_.out_dir / "run.json"));
}

TEST_F(Predict, RefusesWhatCannotBeUsedBeforeAnythingIsWritten) {
  write_chirp("a.wav", 6);
  const auto refusal = [&](auto change) {
    auto options = options_;
    change(options);
    std::string message;
    try {
      (void)predict(options);
    } catch (const Error& error) {
      message = error.what();
    }
    EXPECT_FALSE(fs::exists(options_.out_dir / "scores.npy"));
    return message;
  };
  EXPECT_THAT(refusal([](auto& o) { o.models.clear(); }), HasSubstr("--model"));
  EXPECT_THAT(refusal([](auto& o) { o.out_dir.clear(); }), HasSubstr("--out"));
  EXPECT_THAT(refusal([](auto& o) { o.formats = {"cvs"}; }), HasSubstr("csv"));
  EXPECT_THAT(refusal([](auto& o) { o.window_hop_s = 5.5; }), HasSubstr("hop"));
  EXPECT_THAT(refusal([](auto& o) { o.window_hop_s = 1.00001; }), HasSubstr("whole number of samples"));
  EXPECT_THAT(refusal([](auto& o) { o.engine = "tensorflow"; }), HasSubstr("expected one of"));
}

}  // namespace
}  // namespace whimbrel
