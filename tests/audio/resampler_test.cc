#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "audio/synthesis.h"

namespace whimbrel::audio_test {
namespace {

std::vector<float> resample(std::span<const float> in, int from_hz, int to_hz) {
  Resampler resampler(from_hz, to_hz);
  std::vector<float> out;
  resampler.push(in, out);
  resampler.finish(out);
  return out;
}

double db(double ratio) { return 20 * std::log10(ratio); }

TEST(Resample, PassesEqualRatesThroughUntouched) {
  const std::vector<float> in = noise(5000);
  EXPECT_EQ(resample(in, 32000, 32000), in);
}

TEST(Resample, KeepsAToneBelowTheNewNyquist) {
  // soxr's HQ passband is flat to 0.01 dB up to 91 % of the lower Nyquist frequency.
  for (const double frequency : {100.0, 1000.0, 10000.0, 14000.0}) {
    const std::vector<float> out = resample(tone(frequency, 48000, 96000), 48000, 32000);
    EXPECT_NEAR(db(amplitude_at(frequency, 32000, out) / 0.5), 0, 0.01) << frequency;
  }
}

TEST(Resample, RemovesAToneAboveTheNewNyquist) {
  for (const double frequency : {17000.0, 18000.0, 23000.0}) {
    const std::vector<float> out = resample(tone(frequency, 48000, 96000), 48000, 32000);
    double peak = 0;
    for (std::size_t n = out.size() / 4; n < out.size() * 3 / 4; ++n)
      peak = std::max(peak, std::abs(static_cast<double>(out[n])));
    EXPECT_LT(db(peak / 0.5), -90) << frequency;
  }
}

TEST(Resample, AddsNoImageAboveTheOldNyquist) {
  const std::vector<float> out = resample(tone(13000, 32000, 64000), 32000, 48000);
  EXPECT_NEAR(db(amplitude_at(13000, 48000, out) / 0.5), 0, 0.01);
  EXPECT_LT(db(amplitude_at(19000, 48000, out) / 0.5), -90);  // 32000 - 13000
}

TEST(Resample, DelaysNothing) {
  for (const auto& [from, to] : {std::pair(48000, 32000), {44100, 32000}, {22050, 48000}, {250000, 48000}}) {
    const std::vector<float> out = resample(tone(3000, from, static_cast<std::size_t>(from)), from, to);
    const std::vector<float> expected = tone(3000, to, out.size());
    // 0.01 dB of passband ripple is 0.12 % of the amplitude, 59 dB; a shift of one sample would leave less than 20 dB.
    EXPECT_GT(snr_db(expected, out, out.size() / 4, out.size() * 3 / 4), 59) << from << " -> " << to;
  }
}

TEST(Resample, GivesTheSameSecondsWithinASample) {
  for (const auto& [from, to] :
       {std::pair(48000, 32000), {44100, 32000}, {44100, 48000}, {8000, 48000}, {192000, 22050}, {768000, 32000}}) {
    for (const std::size_t frames : {1u, 2u, 100u, 4097u, 100000u}) {
      const std::vector<float> out = resample(noise(frames), from, to);
      EXPECT_NEAR(static_cast<double>(out.size()), static_cast<double>(frames) * to / from, 1)
          << frames << " of " << from << " -> " << to;
    }
  }
}

TEST(Resample, DoesNotDependOnHowTheInputIsCut) {
  const std::vector<float> in = noise(200000);
  for (const auto& [from, to] : {std::pair(48000, 32000), {44100, 32000}, {32000, 48000}, {96000, 22050}, {16000, 15999}}) {
    const std::vector<float> whole = resample(in, from, to);
    for (const std::size_t longest : {3u, 500u, 40000u}) {
      std::mt19937 random(static_cast<std::uint32_t>(longest));
      Resampler resampler(from, to);
      std::vector<float> out;
      for (std::size_t at = 0; at < in.size();) {
        const std::size_t count = std::min(in.size() - at, random() % (longest + 1));
        resampler.push(std::span(in).subspan(at, count), out);
        at += count;
      }
      resampler.finish(out);
      EXPECT_EQ(out, whole) << from << " -> " << to << " in cuts of up to " << longest;
    }
  }
}

TEST(Resample, GivesNothingForNothing) {
  EXPECT_THAT(resample({}, 48000, 32000), testing::IsEmpty());
  EXPECT_THAT(resample({}, 32000, 32000), testing::IsEmpty());
}

TEST(Resample, RefusesRatesBelowOne) {
  for (const auto& [from, to] : {std::pair(0, 32000), {32000, 0}, {-1, -1}}) {
    const std::string message = message_of(ErrorCode::invalid_argument, [&] { Resampler(from, to); });
    EXPECT_THAT(message, testing::HasSubstr("expected rates of at least 1"));
  }
}

}  // namespace
}  // namespace whimbrel::audio_test
