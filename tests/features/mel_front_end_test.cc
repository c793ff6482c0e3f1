// The front end against the reference and against what is known of spectra, on every SIMD target.
#include <gmock/gmock.h>

#include <algorithm>
#include <thread>

#include "features/signals.h"
#include "reference/mel.h"

namespace whimbrel {
namespace {

using features_test::noise;
using features_test::on_every_target;
using features_test::plane_of;
using features_test::tone;
using ::testing::Each;

/// Small enough for the reference, with as many frames as fill a vector and a bit.
MelConfig small_config() {
  MelConfig config;
  config.n_fft = config.win_length = 256;
  config.hop_samples = 64;
  config.n_mels = 20;
  return config;
}

/// On every SIMD target, within `tolerance`; where the level is none, within that part of the largest value.
void expect_near_reference(const MelConfig& config, int rate_hz, std::span<const float> window, double tolerance) {
  const auto expected = reference::mel(config, rate_hz, window);
  if (config.level == Level::none) tolerance *= *std::max_element(expected.begin(), expected.end());
  on_every_target([&] {
    const auto plane = plane_of(config, rate_hz, window);
    ASSERT_EQ(plane.size(), expected.size());
    double worst = 0;
    for (std::size_t i = 0; i < plane.size(); ++i) worst = std::max(worst, std::abs(plane[i] - expected[i]));
    EXPECT_LE(worst, tolerance);
  });
}

TEST(MelFrontEnd, EqualsTheReferenceForEveryKindOfFftSize) {
  // Powers of two and four, every odd radix with code of its own, primes up to 31, and sizes of speech and bird networks.
  for (const int n_fft : {4, 6, 8, 10, 12, 14, 16, 18, 62, 110, 400, 442, 512, 882, 1024, 1536, 2048, 4096}) {
    MelConfig config;
    config.n_fft = config.win_length = n_fft;
    config.hop_samples = n_fft / 2;
    config.n_mels = n_fft < 62 ? 1 : 16;
    config.level = Level::none;
    const auto window = noise(n_fft * 3);
    SCOPED_TRACE(n_fft);
    // float32 rounds each of log2(n) levels by 6e-8; squared, and set against the largest band.
    expect_near_reference(config, 32000, window, 1e-6);
  }
}

TEST(MelFrontEnd, EqualsTheReferenceForEveryOption) {
  const auto window = noise(256 + 21 * 64 + 13);
  const std::vector<std::function<void(MelConfig&)>> changes = {
      [](MelConfig&) {},
      [](MelConfig& c) { c.win_length = 200; },
      [](MelConfig& c) { c.win_length = 133; },
      [](MelConfig& c) { c.hop_samples = 37; },
      [](MelConfig& c) { c.hop_samples = 1; },
      [](MelConfig& c) { c.hop_samples = 300; },  // gaps between the frames
      [](MelConfig& c) { c.n_mels = 1; },
      [](MelConfig& c) { c.f_min_hz = 300, c.f_max_hz = 9000; },
      [](MelConfig& c) { c.scale = MelScale::htk; },
      [](MelConfig& c) { c.norm = MelNorm::none; },
      [](MelConfig& c) { c.power = 1; },
      [](MelConfig& c) { c.power = 1.5; },
      [](MelConfig& c) { c.center = false; },
      [](MelConfig& c) { c.pad = PadMode::constant; },
      [](MelConfig& c) { c.level = Level::log; },
      [](MelConfig& c) { c.level = Level::log, c.power = 1, c.amin = 1e-3; },
      [](MelConfig& c) { c.ref = LevelRef::max; },
      [](MelConfig& c) { c.amin = 1e-4; },
      [](MelConfig& c) { c.top_db = 20; },
      [](MelConfig& c) { c.top_db = 20, c.ref = LevelRef::max; },
      [](MelConfig& c) { c.top_db = 0; },
      [](MelConfig& c) { c.normalize = Normalize::minmax; },
      [](MelConfig& c) { c.normalize = Normalize::minmax, c.top_db = 15, c.ref = LevelRef::max; },
      [](MelConfig& c) { c.normalize = Normalize::mean_std, c.mean = -20, c.std = 7; },
      [](MelConfig& c) { c.normalize = Normalize::mean_std, c.mean = -20, c.std = 7, c.ref = LevelRef::max; },
      [](MelConfig& c) { c.level = Level::none, c.normalize = Normalize::minmax; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    auto config = small_config();
    changes[i](config);
    SCOPED_TRACE(i);
    // 1e-3 dB is the contract; noise has no band far below the others, so rounding stays well inside.
    expect_near_reference(config, 32000, window, 1e-4);
  }
}

TEST(MelFrontEnd, EqualsTheReferenceAtEveryCommonRate) {
  for (const int rate_hz : {16000, 22050, 32000, 44100, 48000}) {
    auto config = small_config();
    config.n_fft = 512;  // longer than the window function
    config.top_db = 80;
    SCOPED_TRACE(rate_hz);
    auto clipped = tone(1500, 1234.5, rate_hz, 3);
    for (float& x : clipped) x = std::clamp(x, -1.0F, 1.0F);
    // Errors of a float32 FFT are some 1e-8 of the loudest bin's amplitude: 1e-4 of what lies 80 dB below, 1e-3 dB.
    expect_near_reference(config, rate_hz, noise(1500), 1e-4);
    expect_near_reference(config, rate_hz, tone(1500, 1234.5, rate_hz), 1e-3);
    expect_near_reference(config, rate_hz, clipped, 1e-3);
  }
}

TEST(MelFrontEnd, HearsSilenceAsTheSmallestLevel) {
  const std::vector<float> silence(3000);
  auto config = small_config();
  on_every_target([&] {
    config.normalize = Normalize::none;
    for (const float x : plane_of(config, 32000, silence)) ASSERT_NEAR(x, -100, 1e-4);  // 10 log10(1e-10)
    config.normalize = Normalize::minmax;
    EXPECT_THAT(plane_of(config, 32000, silence), Each(0.0F));
  });
}

TEST(MelFrontEnd, KeepsMinmaxWithin0And1) {
  auto config = small_config();
  config.top_db = 80;
  config.normalize = Normalize::minmax;
  on_every_target([&] {
    const auto plane = plane_of(config, 32000, tone(5000, 3000, 32000));
    const auto [low, high] = std::minmax_element(plane.begin(), plane.end());
    EXPECT_EQ(*low, 0);
    EXPECT_NEAR(*high, 1, 1e-6);  // the 1e-6 of the formula, over 80 dB
    EXPECT_LE(*high, 1);
  });
}

TEST(MelFrontEnd, PutsATonesPowerIntoTheBinsOfItsFrequency) {
  // A tone of amplitude A on bin k of a Hann window: |X[k]| = A n / 4, a half of that on either side, nothing elsewhere. The
  // triangles sum to 1, so all bands together hold 1.5 (A n / 4)^2.
  auto config = small_config();
  config.norm = MelNorm::none;
  config.level = Level::none;
  config.center = false;
  on_every_target([&] {
    const auto plane = plane_of(config, 32000, tone(256, 40 * 125.0, 32000, 0.5));
    double sum = 0;
    for (const float x : plane) sum += x;
    EXPECT_NEAR(sum / (1.5 * 32 * 32), 1, 1e-6);
  });
}

TEST(MelFrontEnd, RaisesTheLevelBy20DbForTenTimesTheAmplitude) {
  auto config = small_config();
  const auto quiet = noise(3000, 1, 0.05F);
  auto loud = quiet;
  for (float& x : loud) x *= 10;
  for (const double power : {1.0, 2.0}) {
    config.power = power;
    on_every_target([&] {
      const auto a = plane_of(config, 32000, quiet);
      const auto b = plane_of(config, 32000, loud);
      for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(b[i] - a[i], 20, 1e-4);
    });
  }
}

TEST(MelFrontEnd, GivesTheSameBitsInEverySimdLane) {
  // A signal that repeats every hop: all frames are the same.
  auto config = small_config();
  config.center = false;
  const auto period = noise(config.hop_samples);
  std::vector<float> window;
  for (int i = 0; i < 43; ++i) window.insert(window.end(), period.begin(), period.end());
  on_every_target([&] {
    const auto plane = plane_of(config, 32000, window);
    const auto frames = static_cast<std::size_t>(mel_frame_count(config, std::ssize(window)));
    ASSERT_EQ(frames, 40U);
    for (std::size_t i = 0; i < plane.size(); ++i) ASSERT_EQ(plane[i], plane[i / frames * frames]) << "frame " << i % frames;
  });
}

TEST(MelFrontEnd, DoesNotReadBesideItsWindow) {
  // What lies before and behind is not a number; ASan would not see it, as it is the same allocation.
  auto config = small_config();
  const auto samples = noise(3000);
  std::vector<float> surrounded(5000, std::numeric_limits<float>::quiet_NaN());
  std::copy(samples.begin(), samples.end(), surrounded.begin() + 1000);
  on_every_target([&] {
    EXPECT_EQ(plane_of(config, 32000, std::span<const float>(surrounded).subspan(1000, 3000)),
              plane_of(config, 32000, samples));
  });
}

TEST(MelFrontEnd, WritesThePlaneWholeAndNothingElse) {
  auto config = small_config();
  const auto samples = noise(3001);  // 20 * 47 values: no whole number of vectors
  MelFrontEnd front_end(config, 32000, 3001, 3001);
  const auto n = static_cast<std::size_t>(front_end.bands() * front_end.frames());
  std::vector<float> memory(n + 64, 12345.0F);
  front_end.compute(samples, std::span(memory).subspan(32, n));
  EXPECT_THAT(std::span(memory).first(32), Each(12345.0F));
  EXPECT_THAT(std::span(memory).last(32), Each(12345.0F));
  EXPECT_THAT(std::span(memory).subspan(32, n), Each(::testing::Lt(1000.0F)));
}

TEST(MelFrontEnd, SharesItsTablesBetweenThreads) {
  const auto config = small_config();
  const auto samples = noise(3000);
  const auto expected = plane_of(config, 32000, samples);
  std::vector<std::vector<float>> planes(4);
  {
    std::vector<std::jthread> threads;
    for (auto& plane : planes) {
      threads.emplace_back([&] {
        for (int i = 0; i < 20; ++i) plane = plane_of(config, 32000, samples);
      });
    }
  }
  EXPECT_THAT(planes, Each(expected));
}

TEST(SimdTarget, IsTheBestOneOfThisCpuUnlessSwitchedOff) {
  const std::string best(front_end_simd_target());
  EXPECT_NE(best, "");
  std::vector<std::string> seen;
  on_every_target([&] { seen.emplace_back(front_end_simd_target()); });
  EXPECT_EQ(seen.front(), best);
#if HWY_ARCH_X86
  EXPECT_GE(seen.size(), 2U) << "the tests would have seen one target only";
#endif
  EXPECT_EQ(front_end_simd_target(), best);
}

}  // namespace
}  // namespace whimbrel
