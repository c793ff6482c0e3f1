// A model's folder that is right, for tests that then make one thing wrong.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "whimbrel/models.h"

namespace whimbrel {

inline constexpr std::string_view kMelManifest = R"([model]
file = "b0.onnx"
labels = "labels.txt"
[input]
kind = "mel"
sample_rate_hz = 32000
window_s = 5.0
[input.mel]
n_fft = 2048
hop_samples = 1024
n_mels = 128
[output]
clip = "clipwise_logits"
)";

inline constexpr std::string_view kWaveformManifest = R"([model]
file = "b0.onnx"
labels = "labels.txt"
[input]
kind = "waveform"
sample_rate_hz = 48000
window_s = 3
)";

class InModelFolder : public ::testing::Test {
 protected:
  InModelFolder() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    root_ = std::filesystem::path(WHIMBREL_TEST_DATA_DIR) / "models" / test->test_suite_name() / test->name();
    std::filesystem::remove_all(root_);
    folder_ = root_ / "model";
    std::filesystem::create_directories(folder_);
    write("b0.onnx", "not read here");
    write("labels.txt", "Parus major_Great Tit\nnoise\n");
  }
  ~InModelFolder() override {
    std::error_code error;
    std::filesystem::remove_all(root_, error);
  }

  void write(const std::string& name, std::string_view bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }

  Manifest load(std::string_view manifest) const {
    write("b0.toml", manifest);
    return load_manifest(folder_ / "b0.toml");
  }

  /// kMelManifest with `old` replaced, loaded.
  Manifest load_with(std::string_view old, std::string_view replacement) const {
    return load(replaced(kMelManifest, old, replacement));
  }

  static std::string replaced(std::string_view text, std::string_view old, std::string_view replacement) {
    std::string result(text);
    const auto at = result.find(old);
    if (at == std::string::npos) throw std::logic_error("nothing to replace: " + std::string(old));
    return result.replace(at, old.size(), replacement);
  }

  /// The message of the Error that `call` throws; fails the test unless it has this code and stands on one line.
  template <class F>
  static std::string error_of(ErrorCode code, F&& call) {
    try {
      call();
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_EQ(to_string(error.code()), to_string(code)) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      return message;
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
  }

  /// What is said of kMelManifest with `old` replaced.
  std::string refusal(std::string_view old, std::string_view replacement) const {
    return error_of(ErrorCode::bad_manifest, [&] { (void)load_with(old, replacement); });
  }

  std::filesystem::path root_, folder_;
};

}  // namespace whimbrel
