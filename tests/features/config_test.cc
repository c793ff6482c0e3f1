#include <gmock/gmock.h>

#include <limits>

#include "features/signals.h"

namespace whimbrel {
namespace {

using features_test::message_of;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// The message for the default configuration with one field changed.
std::string complaint(const std::function<void(MelConfig&)>& change, int rate_hz = 32000) {
  MelConfig config;
  change(config);
  return message_of(ErrorCode::bad_manifest, [&] { validate(config, rate_hz); });
}

TEST(MelConfig, DefaultsAreValidAtEveryCommonRate) {
  for (const int rate_hz : {8000, 16000, 22050, 32000, 44100, 48000, 384000}) EXPECT_NO_THROW(validate(MelConfig{}, rate_hz));
}

TEST(MelConfig, SaysFieldValueExpectationAndRemedy) {
  EXPECT_EQ(complaint([](auto& c) { c.n_mels = 0; }),
            "[input.mel] n_mels=0, expected 1..512; set input.mel.n_mels in the manifest");
  EXPECT_EQ(complaint([](auto& c) { c.f_max_hz = 17000; }),
            "[input.mel] f_max_hz=17000, expected 0..16000; set input.mel.f_max_hz in the manifest");
  EXPECT_EQ(complaint([](auto& c) { c.f_min_hz = 16000; }),
            "[input.mel] f_min_hz=16000, expected at least 0 and below f_max_hz=16000; set input.mel.f_min_hz in the manifest");
}

TEST(MelConfig, NamesTheNextSizeThatTheFftTakes) {
  EXPECT_EQ(
      complaint([](auto& c) { c.n_fft = c.win_length = 2 * 37; }),
      "[input.mel] n_fft=74, expected an even number without a prime factor above 31; set input.mel.n_fft in the manifest "
      "(the next one is 76)");
  EXPECT_THAT(complaint([](auto& c) { c.n_fft = c.win_length = 1001; }), HasSubstr("(the next one is 1008)"));
}

TEST(MelConfig, RefusesEveryFieldThatIsOutOfRange) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto refused = [](std::string_view field, const std::function<void(MelConfig&)>& change) {
    EXPECT_THAT(complaint(change), StartsWith(std::string("[input.mel] ") + std::string(field) + "="));
  };
  refused("n_fft", [](auto& c) { c.n_fft = 2; });
  refused("n_fft", [](auto& c) { c.n_fft = 131072; });
  refused("win_length", [](auto& c) { c.win_length = 2049; });
  refused("win_length", [](auto& c) { c.win_length = 1; });
  refused("hop_samples", [](auto& c) { c.hop_samples = 0; });
  refused("hop_samples", [](auto& c) { c.hop_samples = -512; });
  refused("n_mels", [](auto& c) { c.n_mels = 513; });
  refused("f_min_hz", [](auto& c) { c.f_min_hz = -1; });
  refused("f_min_hz", [&](auto& c) { c.f_min_hz = nan; });
  refused("f_max_hz", [](auto& c) { c.f_max_hz = -1; });
  refused("f_max_hz", [&](auto& c) { c.f_max_hz = nan; });
  refused("power", [](auto& c) { c.power = 0; });
  refused("power", [](auto& c) { c.power = 5; });
  refused("power", [&](auto& c) { c.power = nan; });
  refused("amin", [](auto& c) { c.amin = 0; });
  refused("amin", [&](auto& c) { c.amin = nan; });
  refused("top_db", [](auto& c) { c.top_db = -1; });
  refused("mean", [&](auto& c) { c.normalize = Normalize::mean_std, c.mean = nan; });
  refused("std", [](auto& c) { c.normalize = Normalize::mean_std, c.std = 0; });
}

TEST(MelConfig, RefusesWhatALevelWouldIgnore) {
  for (const auto level : {Level::log, Level::none}) {
    EXPECT_THAT(complaint([&](auto& c) { c.level = level, c.top_db = 80; }),
                HasSubstr("top_db=80, expected none unless level = \"db\""));
    EXPECT_THAT(complaint([&](auto& c) { c.level = level, c.ref = LevelRef::max; }),
                HasSubstr("ref=max, expected \"one\" unless level = \"db\""));
  }
}

TEST(MelConfig, RefusesARateOfNothing) {
  EXPECT_THAT(complaint([](auto&) {}, 0), StartsWith("[input] sample_rate_hz=0, expected at least 1;"));
}

TEST(MelFrameCount, IsThatOfLibrosaAndPyTorch) {
  MelConfig config;
  EXPECT_EQ(mel_frame_count(config, 160000), 313);  // 5 s at 32 kHz
  config.hop_samples = 1024;
  EXPECT_EQ(mel_frame_count(config, 160000), 157);
  config.center = false;
  EXPECT_EQ(mel_frame_count(config, 160000), 155);
  EXPECT_EQ(mel_frame_count(config, 2048), 1);
  EXPECT_EQ(mel_frame_count(config, 2047), 0);
}

TEST(MelFrontEnd, RefusesAWindowTooShortForOneFrame) {
  const auto complain = [](const MelConfig& config, std::int64_t window, std::int64_t shift) {
    return message_of(ErrorCode::bad_manifest, [&] { MelFrontEnd(config, 32000, window, shift); });
  };
  MelConfig config;
  EXPECT_EQ(complain(config, 1024, 1024),
            "[input] window of 1024 samples, expected at least 1025 for n_fft=2048; set a longer input.window_s or a smaller "
            "input.mel.n_fft in the manifest");
  EXPECT_NO_THROW(MelFrontEnd(config, 32000, 1025, 1025));  // reflected padding never turns twice
  config.center = false;
  EXPECT_THAT(complain(config, 2047, 2047), HasSubstr("expected at least 2048"));
  config.center = true;
  config.pad = PadMode::constant;
  EXPECT_NO_THROW(MelFrontEnd(config, 32000, 1, 1));
  EXPECT_THAT(complain(config, 0, 1), HasSubstr("expected at least 1 "));
  EXPECT_THAT(complain(config, 160000, 0), StartsWith("[input] windows 0 samples apart, expected at least 1;"));
}

TEST(MelFrontEnd, RefusesAWindowWhoseSpectrogramIsHuge) {
  MelConfig config;
  config.hop_samples = 1;
  config.n_mels = 512;
  EXPECT_THAT(message_of(ErrorCode::bad_manifest, [&] { MelFrontEnd(config, 32000, 1'000'000, 1'000'000); }),
              HasSubstr("window of 1000001 frames of 512 bands, expected at most 67108864 values"));
}

TEST(MelFrontEnd, RefusesAWindowOrPlaneOfAnotherSize) {
  MelFrontEnd front_end(MelConfig{}, 32000, 160000, 160000);
  const std::vector<float> window(160000);
  std::vector<float> plane(128 * 313);
  EXPECT_NO_THROW(front_end.compute(window, plane));
  EXPECT_EQ(
      message_of(ErrorCode::invalid_argument, [&] { front_end.compute(std::span(window).first(159999), plane); }),
      "MelFrontEnd::compute: window of 159999 samples and plane of 40064 values, expected 160000 and 40064; pass what the "
      "constructor was given");
  message_of(ErrorCode::invalid_argument, [&] { front_end.compute(window, std::span(plane).first(1)); });
}

TEST(MelFrontEnd, RefusesABadConfiguration) {
  MelConfig config;
  config.n_mels = 0;
  message_of(ErrorCode::bad_manifest, [&] { MelFrontEnd(config, 32000, 160000, 160000); });
  message_of(ErrorCode::bad_manifest, [&] { mel_filter_bank(config, 32000); });
}

}  // namespace
}  // namespace whimbrel
