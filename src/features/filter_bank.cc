#include "features/filter_bank.h"

#include <algorithm>
#include <cmath>

namespace whimbrel {
namespace {

// Slaney's scale: linear below 1 kHz, logarithmic above (27 steps from 1 to 6.4 kHz).
constexpr double kHzPerMel = 200.0 / 3;
constexpr double kBreakHz = 1000;
constexpr double kBreakMel = kBreakHz / kHzPerMel;
const double kLogStep = std::log(6.4) / 27;

double hz_to_mel(double hz, MelScale scale) {
  if (scale == MelScale::htk) return 2595 * std::log10(1 + hz / 700);
  return hz < kBreakHz ? hz / kHzPerMel : kBreakMel + std::log(hz / kBreakHz) / kLogStep;
}

double mel_to_hz(double mel, MelScale scale) {
  if (scale == MelScale::htk) return 700 * (std::pow(10, mel / 2595) - 1);
  return mel < kBreakMel ? mel * kHzPerMel : kBreakHz * std::exp(kLogStep * (mel - kBreakMel));
}

/// Corners of the triangles: n_mels + 2 frequencies, evenly spaced in mel.
std::vector<double> corners_hz(const MelConfig& config, double f_max_hz) {
  const double low = hz_to_mel(config.f_min_hz, config.scale);
  const double high = hz_to_mel(f_max_hz, config.scale);
  std::vector<double> corners(static_cast<std::size_t>(config.n_mels) + 2);
  for (std::size_t i = 0; i < corners.size(); ++i) {
    corners[i] = mel_to_hz(low + (high - low) * static_cast<double>(i) / (config.n_mels + 1), config.scale);
  }
  return corners;
}

}  // namespace

std::vector<MelBand> mel_bands(const MelConfig& config, int sample_rate_hz) {
  const auto corners = corners_hz(config, config.f_max_hz > 0 ? config.f_max_hz : sample_rate_hz / 2.0);
  std::vector<MelBand> bands(static_cast<std::size_t>(config.n_mels));
  for (std::size_t b = 0; b < bands.size(); ++b) {
    const double left = corners[b];
    const double centre = corners[b + 1];
    const double right = corners[b + 2];
    const double peak = config.norm == MelNorm::slaney ? 2 / (right - left) : 1;
    for (int k = 0; k <= config.n_fft / 2; ++k) {
      const double hz = static_cast<double>(k) * sample_rate_hz / config.n_fft;
      const double weight = peak * std::min((hz - left) / (centre - left), (right - hz) / (right - centre));
      if (weight <= 0) continue;
      if (bands[b].weights.empty()) bands[b].first = k;
      bands[b].weights.push_back(static_cast<float>(weight));
    }
  }
  return bands;
}

std::vector<float> mel_filter_bank(const MelConfig& config, int sample_rate_hz) {
  validate(config, sample_rate_hz);
  const auto bins = static_cast<std::size_t>(config.n_fft) / 2 + 1;
  std::vector<float> bank(static_cast<std::size_t>(config.n_mels) * bins);
  const auto bands = mel_bands(config, sample_rate_hz);
  for (std::size_t b = 0; b < bands.size(); ++b) {
    std::ranges::copy(bands[b].weights, bank.begin() + static_cast<std::ptrdiff_t>(b * bins) + bands[b].first);
  }
  return bank;
}

std::vector<int> fft_radices(int n) {
  std::vector<int> radices;
  for (const int radix : {4, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, kMaxPrimeFactor}) {
    for (; n % radix == 0; n /= radix) radices.push_back(radix);
  }
  if (n > 1) radices.push_back(n);
  return radices;
}

}  // namespace whimbrel
