#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "audio/synthesis.h"

namespace whimbrel::audio_test {
namespace {

/// The table has 512 entries a zero crossing and is read linearly: each of 48 taps is off by at most max |f''| / 8 / 512^2
/// = 1.2e-6, times an input below 0.9.
constexpr double kTable = 48 * 1.2e-6 * 0.9;

std::vector<float> kaiser_fast(std::span<const float> in, int from_hz, int to_hz, std::size_t block) {
  Resampler resampler(from_hz, to_hz, ResampleMethod::kaiser_fast);
  std::vector<float> out;
  for (std::size_t i = 0; i < in.size(); i += block) resampler.push(in.subspan(i, std::min(block, in.size() - i)), out);
  resampler.finish(out);
  return out;
}

/// The definition, sample by sample: a sinc of 24 zero crossings with roll-off 0.868212 under a Kaiser window of beta 9.90322
/// (resampy 0.4's documentation of kaiser_fast), widened when the rate goes down.
std::vector<double> by_definition(std::span<const float> in, int from_hz, int to_hz) {
  const double ratio = static_cast<double>(to_hz) / from_hz, scale = std::min(1.0, ratio);
  std::vector<double> out(in.size() * static_cast<std::size_t>(to_hz) / static_cast<std::size_t>(from_hz));
  for (std::size_t t = 0; t < out.size(); ++t) {
    const double at = static_cast<double>(t) / ratio;
    const auto reach = static_cast<std::int64_t>(24 / scale);
    for (std::int64_t n = std::max<std::int64_t>(0, static_cast<std::int64_t>(at) - reach);
         n <= static_cast<std::int64_t>(at) + reach + 1 && n < static_cast<std::int64_t>(in.size()); ++n) {
      const double x = std::abs(at - static_cast<double>(n)) * scale;
      if (x > 24) continue;
      const double angle = std::numbers::pi * 0.8682120388 * x;
      const double sinc = angle == 0 ? 1 : std::sin(angle) / angle;
      const double window = std::cyl_bessel_i(0, 9.9032244 * std::sqrt(1 - x * x / 576)) / std::cyl_bessel_i(0, 9.9032244);
      out[t] += scale * 0.8682120388 * sinc * window * in[static_cast<std::size_t>(n)];
    }
  }
  return out;
}

TEST(KaiserFast, IsItsDefinitionGoingUp) {
  for (const auto& [from, to] : {std::pair(32000, 48000), {44100, 48000}, {16000, 44100}}) {
    const std::vector<float> in = noise(4001);
    const std::vector<float> out = kaiser_fast(in, from, to, 4001);
    const std::vector<double> expected = by_definition(in, from, to);
    ASSERT_EQ(out.size(), expected.size());
    for (std::size_t n = 0; n < out.size(); ++n)
      ASSERT_NEAR(out[n], expected[n], kTable) << from << " -> " << to << " at " << n;
  }
}

TEST(KaiserFast, IsItsDefinitionGoingDownByAWholeNumberOfTableEntries) {
  const std::vector<float> in = noise(4001);
  const std::vector<float> out = kaiser_fast(in, 48000, 24000, 4001);
  const std::vector<double> expected = by_definition(in, 48000, 24000);
  ASSERT_EQ(out.size(), expected.size());
  for (std::size_t n = 0; n < out.size(); ++n) ASSERT_NEAR(out[n], expected[n], kTable) << n;
}

TEST(KaiserFast, DoesNotDependOnHowTheInputIsCut) {
  const std::vector<float> in = noise(10007);
  for (const auto& [from, to] : {std::pair(32000, 48000), {48000, 32000}, {44100, 22050}, {8000, 48000}}) {
    const std::vector<float> whole = kaiser_fast(in, from, to, in.size());
    for (const std::size_t block : {1U, 7U, 1024U}) EXPECT_EQ(kaiser_fast(in, from, to, block), whole) << from << " -> " << to;
  }
}

TEST(KaiserFast, KeepsATonesAmplitudeAndPlace) {
  const std::vector<float> out = kaiser_fast(tone(3000, 44100, 44100), 44100, 48000, 5000);
  const std::vector<float> expected = tone(3000, 48000, out.size());
  EXPECT_EQ(out.size(), 48000U);
  EXPECT_GT(snr_db(expected, out, out.size() / 4, out.size() * 3 / 4), 59);  // a shift of one sample would leave 14 dB
}

/// A header may claim any rate up to 1 MHz, and every worker may have such a recording open.
TEST(KaiserFast, RefusesARateThatWouldTakeAHugeTable) {
  EXPECT_NO_THROW(Resampler(44101, 48000, ResampleMethod::kaiser_fast));
  EXPECT_NO_THROW(Resampler(384000, 48000, ResampleMethod::kaiser_fast));
  try {
    const Resampler resampler(999983, 48000, ResampleMethod::kaiser_fast);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(to_string(error.code()), "bad_recording");
    EXPECT_NE(std::string(error.what()).find("999983 Hz"), std::string::npos) << error.what();
  }
}

TEST(KaiserFast, GivesSilenceForSilenceAndNothingForNothing) {
  EXPECT_THAT(kaiser_fast(std::vector<float>(500), 32000, 48000, 500),
              testing::AllOf(testing::SizeIs(750), testing::Each(0.0F)));
  EXPECT_THAT(kaiser_fast({}, 32000, 48000, 1), testing::IsEmpty());
}

}  // namespace
}  // namespace whimbrel::audio_test
