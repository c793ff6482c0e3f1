// A run of the formats into a folder of its own, shared by their tests.
#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/detector.h"
#include "pipeline/formats.h"

namespace whimbrel {

inline const Label kChickadee = {"Poecile atricapillus_Black-capped Chickadee", "Poecile atricapillus",
                                 "Black-capped Chickadee"};
inline const Label kTit = {"Parus major_Great Tit", "Parus major", "Great Tit"};
inline const Label kNoise = {"noise", "noise", "noise"};

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

class FormatsTest : public ::testing::Test {
 protected:
  FormatsTest()
      : dir_(std::filesystem::path(WHIMBREL_TEST_DATA_DIR) / "formats" /
             ::testing::UnitTest::GetInstance()->current_test_info()->test_suite_name() /
             ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
    context_.out_dir = dir_ / "out";
    std::filesystem::create_directories(context_.out_dir);
    context_.labels = {kChickadee, kTit, kNoise};
    context_.grid = {.sample_rate_hz = 32000, .window_samples = 160000, .hop_samples = 160000};
  }
  ~FormatsTest() override { set_log_sink(nullptr); }

  /// One recording, its windows from index 0.
  struct Scored {
    RecordingName name;
    std::vector<std::vector<float>> windows;
  };

  /// A window and its detections.
  void give(OutputFormat& format, std::int64_t index, std::span<const float> scores) const {
    format.window(index, scores);
    const Detector detector(context_.grid, std::vector<float>(context_.labels.size(), static_cast<float>(threshold_)), top_k_);
    detector.window(index, scores, [&](const Detection& detection) { format.detection(detection); });
  }

  void feed(OutputFormat& format, const Scored& recording) const {
    format.begin_recording(recording.name);
    std::int64_t index = 0;
    for (const auto& scores : recording.windows) give(format, index++, scores);
    format.end_recording();
  }

  void run(std::string_view name, const std::vector<Scored>& recordings) {
    const auto format = make_format(name, context_);
    for (const auto& recording : recordings) feed(*format, recording);
    format->finish();
  }

  std::string out(const std::filesystem::path& file) const { return slurp(context_.out_dir / file); }

  /// Every regular file in the output folder, relative to it.
  std::vector<std::string> listing() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(context_.out_dir)) {
      if (entry.is_regular_file()) names.push_back(entry.path().lexically_relative(context_.out_dir).string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  void write_sample(std::string_view text) {
    context_.sample_submission = dir_ / "sample_submission.csv";
    std::ofstream(context_.sample_submission, std::ios::binary) << text;
  }

  void keep_log() {
    set_log_sink([this](LogLevel, std::string_view line) { log_ += std::string(line) + '\n'; });
  }

  /// The message of the Error that making `name` ends in.
  std::string refusal(std::string_view name, ErrorCode code = ErrorCode::invalid_argument) {
    try {
      make_format(name, context_);
    } catch (const Error& error) {
      EXPECT_EQ(to_string(error.code()), to_string(code));
      return error.what();
    }
    ADD_FAILURE() << "make_format(" << name << ") did not throw";
    return "";
  }

  static std::string refusal_of(const OutputFormat& format, const std::vector<RecordingName>& recordings) {
    try {
      format.check_recordings(recordings);
    } catch (const Error& error) {
      EXPECT_EQ(to_string(error.code()), "invalid_argument");
      return error.what();
    }
    return "";
  }

  std::filesystem::path dir_;
  FormatContext context_;
  double threshold_ = 0.1;
  int top_k_ = 0;
  std::string log_;
};

inline const RecordingName kDawn = {"field/site 1/dawn.wav", "site 1/dawn.wav"};
inline const RecordingName kDusk = {"dusk.flac", "dusk.flac"};

}  // namespace whimbrel
