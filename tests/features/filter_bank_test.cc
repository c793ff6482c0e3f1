#include "features/filter_bank.h"

#include <gmock/gmock.h>

#include <numeric>

#include "features/signals.h"
#include "reference/mel.h"

namespace whimbrel {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

MelConfig bank_config(MelScale scale, MelNorm norm) {
  MelConfig config;
  config.scale = scale;
  config.norm = norm;
  return config;
}

/// Where each triangle peaks, by its two neighbouring bins at worst.
std::vector<double> peaks_hz(const MelConfig& config, int rate_hz) {
  std::vector<double> peaks;
  for (const auto& band : mel_bands(config, rate_hz)) {
    const auto peak = std::max_element(band.weights.begin(), band.weights.end()) - band.weights.begin();
    peaks.push_back(static_cast<double>(band.first + peak) * rate_hz / config.n_fft);
  }
  return peaks;
}

TEST(MelFilterBank, SlaneysScaleIsLinearBelow1kHzAndLogarithmicAbove) {
  // 1 kHz is mel 15 and 6.4 kHz mel 42, so the corners of 41 bands are a mel apart: 200/3 Hz below, a factor 6.4^(1/27) above.
  auto config = bank_config(MelScale::slaney, MelNorm::none);
  config.n_fft = 65536;
  config.n_mels = 41;
  config.f_max_hz = 6400;
  const auto peaks = peaks_hz(config, 16000);
  const double bin_hz = 16000.0 / 65536;
  for (int i = 0; i < 15; ++i) EXPECT_NEAR(peaks[static_cast<std::size_t>(i)], (i + 1) * 200.0 / 3, bin_hz);
  for (int i = 15; i < 41; ++i) EXPECT_NEAR(peaks[static_cast<std::size_t>(i)], 1000 * std::pow(6.4, (i - 14) / 27.0), bin_hz);
}

TEST(MelFilterBank, HtksScaleMeetsItsBookValues) {
  // HTK book 5.4: mel(f) = 2595 log10(1 + f / 700), so that 1 kHz is 1000 mel. 0 .. 2000 mel in steps of 250: the fourth is 1
  // kHz.
  auto config = bank_config(MelScale::htk, MelNorm::none);
  config.n_fft = 65536;
  config.n_mels = 7;
  config.f_max_hz = 700 * (std::pow(10, 2000 / 2595.0) - 1);
  EXPECT_NEAR(peaks_hz(config, 16000)[3], 1000, 0.3);  // 2595 is rounded: mel(1000) = 999.986
}

TEST(MelFilterBank, EqualsTheReferenceInEveryCombination) {
  for (const auto scale : {MelScale::slaney, MelScale::htk}) {
    for (const auto norm : {MelNorm::slaney, MelNorm::none}) {
      auto config = bank_config(scale, norm);
      config.f_min_hz = 50;
      config.f_max_hz = 14000;
      const auto bank = mel_filter_bank(config, 32000);
      const auto expected = reference::filter_bank(config, 32000);
      ASSERT_EQ(bank.size(), 128U * 1025);
      for (std::size_t i = 0; i < bank.size(); ++i) {
        // One rounding to float32, and where a triangle begins, of a difference of nearly equal frequencies.
        ASSERT_NEAR(bank[i], expected[i / 1025][i % 1025], 1e-7) << "band " << i / 1025 << " bin " << i % 1025;
      }
    }
  }
}

TEST(MelFilterBank, TrianglesWithoutNormSumTo1BetweenTheirFirstAndLastCentre) {
  const auto config = bank_config(MelScale::htk, MelNorm::none);
  const auto bank = mel_filter_bank(config, 44100);
  const auto peaks = peaks_hz(config, 44100);
  for (std::size_t k = 0; k < 1025; ++k) {
    const double hz = static_cast<double>(k) * 44100 / 2048;
    if (hz <= peaks.front() + 22 || hz >= peaks.back() - 22) continue;
    double sum = 0;
    for (std::size_t b = 0; b < 128; ++b) sum += bank[b * 1025 + k];
    EXPECT_NEAR(sum, 1, 1e-6) << "bin " << k;
  }
}

TEST(MelFilterBank, SlaneysNormGivesEveryTriangleTheArea1) {
  auto config = bank_config(MelScale::slaney, MelNorm::slaney);
  config.n_fft = 32768;  // fine enough for the sum to be the integral
  for (const auto& band : mel_bands(config, 32000)) {
    const double area = std::accumulate(band.weights.begin(), band.weights.end(), 0.0) * 32000 / 32768;
    EXPECT_NEAR(area, 1, 1e-3);
  }
}

TEST(MelFilterBank, ZeroAsUpperEndMeansHalfTheRate) {
  auto config = bank_config(MelScale::slaney, MelNorm::slaney);
  const auto bank = mel_filter_bank(config, 22050);
  config.f_max_hz = 11025;
  EXPECT_EQ(bank, mel_filter_bank(config, 22050));
}

TEST(MelFilterBank, ABandNarrowerThanABinIsEmpty) {
  auto config = bank_config(MelScale::slaney, MelNorm::slaney);
  config.n_fft = config.win_length = 256;  // bins of 125 Hz, bands of 33 Hz
  const auto bands = mel_bands(config, 32000);
  EXPECT_TRUE(bands[0].weights.empty());
  const auto bank = mel_filter_bank(config, 32000);
  EXPECT_THAT(std::vector<float>(bank.begin(), bank.begin() + 129), Each(0.0F));
}

TEST(FftRadices, JoinTwosToFoursAndPutThemFirst) {
  EXPECT_THAT(fft_radices(1024), ElementsAre(4, 4, 4, 4, 4));
  EXPECT_THAT(fft_radices(768), ElementsAre(4, 4, 4, 4, 3));
  EXPECT_THAT(fft_radices(200), ElementsAre(4, 2, 5, 5));
  EXPECT_THAT(fft_radices(441), ElementsAre(3, 3, 7, 7));
  EXPECT_THAT(fft_radices(2 * 37), ElementsAre(2, 37));
}

}  // namespace
}  // namespace whimbrel
