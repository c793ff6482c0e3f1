// Mel spectrograms the slow and obvious way: a discrete Fourier transform by its definition, in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <numbers>
#include <span>
#include <vector>

#include "whimbrel/features.h"

namespace whimbrel::reference {

inline double mel_of(double hz, MelScale scale) {
  if (scale == MelScale::htk) return 2595 * std::log10(1 + hz / 700);
  return hz < 1000 ? 3 * hz / 200 : 15 + 27 * std::log(hz / 1000) / std::log(6.4);
}

inline double hz_of(double mel, MelScale scale) {
  if (scale == MelScale::htk) return 700 * (std::pow(10, mel / 2595) - 1);
  return mel < 15 ? 200 * mel / 3 : 1000 * std::pow(6.4, (mel - 15) / 27);
}

/// [n_mels][n_fft / 2 + 1]
inline std::vector<std::vector<double>> filter_bank(const MelConfig& c, int rate_hz) {
  const double top = mel_of(c.f_max_hz > 0 ? c.f_max_hz : rate_hz / 2.0, c.scale);
  const double bottom = mel_of(c.f_min_hz, c.scale);
  const auto corner = [&](int i) { return hz_of(bottom + (top - bottom) * i / (c.n_mels + 1), c.scale); };
  std::vector<std::vector<double>> bank;
  for (int b = 0; b < c.n_mels; ++b) {
    const double height = c.norm == MelNorm::slaney ? 2 / (corner(b + 2) - corner(b)) : 1;
    std::vector<double> row;
    for (int k = 0; k <= c.n_fft / 2; ++k) {
      const double hz = 1.0 * k * rate_hz / c.n_fft;
      const double rise = (hz - corner(b)) / (corner(b + 1) - corner(b));
      const double fall = (corner(b + 2) - hz) / (corner(b + 2) - corner(b + 1));
      row.push_back(height * std::max(0.0, std::min(rise, fall)));
    }
    bank.push_back(row);
  }
  return bank;
}

inline double padded(std::span<const float> window, std::int64_t position, const MelConfig& c) {
  const std::int64_t n = std::ssize(window);
  if (position < 0 || position >= n) {
    if (c.pad == PadMode::constant) return 0;
    position = position < 0 ? -position : 2 * (n - 1) - position;
  }
  return window[static_cast<std::size_t>(position)];
}

/// |X|^power of frame t, [n_fft / 2 + 1].
inline std::vector<double> spectrum(const MelConfig& c, std::span<const float> window, std::int64_t t) {
  const std::int64_t n = c.n_fft;
  std::vector<double> samples(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < c.win_length; ++i) {
    const std::int64_t at = (n - c.win_length) / 2 + i;
    const double hann = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * static_cast<double>(i) / c.win_length);
    samples[static_cast<std::size_t>(at)] = hann * padded(window, t * c.hop_samples + at - (c.center ? n / 2 : 0), c);
  }
  std::vector<std::complex<double>> roots;
  for (std::int64_t i = 0; i < n; ++i)
    roots.push_back(std::polar(1.0, -2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(n)));
  std::vector<double> out;
  for (std::int64_t k = 0; k <= n / 2; ++k) {
    std::complex<double> sum;
    for (std::int64_t i = 0; i < n; ++i)
      sum += samples[static_cast<std::size_t>(i)] * roots[static_cast<std::size_t>(i * k % n)];
    out.push_back(std::pow(std::abs(sum), c.power));
  }
  return out;
}

/// Before the level: [n_mels, frames].
inline std::vector<double> mel_power(const MelConfig& c, int rate_hz, std::span<const float> window) {
  const std::int64_t n = std::ssize(window);
  const std::int64_t frames = c.center ? 1 + n / c.hop_samples : 1 + (n - c.n_fft) / c.hop_samples;
  const auto bank = filter_bank(c, rate_hz);
  std::vector<double> plane(bank.size() * static_cast<std::size_t>(frames));
  for (std::int64_t t = 0; t < frames; ++t) {
    const auto bins = spectrum(c, window, t);
    for (std::size_t b = 0; b < bank.size(); ++b) {
      double& sum = plane[b * static_cast<std::size_t>(frames) + static_cast<std::size_t>(t)];
      for (std::size_t k = 0; k < bins.size(); ++k) sum += bank[b][k] * bins[k];
    }
  }
  return plane;
}

/// All of it: [n_mels, frames].
inline std::vector<double> mel(const MelConfig& c, int rate_hz, std::span<const float> window) {
  auto plane = mel_power(c, rate_hz, window);
  if (c.level != Level::none) {
    const double scale = c.level == Level::log ? 1 : (c.power == 1 ? 20 : 10) / std::log(10.0);
    for (double& x : plane) x = scale * std::log(std::max(x, c.amin));
  }
  const double high = *std::max_element(plane.begin(), plane.end());
  for (double& x : plane) {
    if (c.top_db) x = std::max(x, high - *c.top_db);
    if (c.ref == LevelRef::max) x -= high;
  }
  const auto [least, most] = std::minmax_element(plane.begin(), plane.end());
  const double low = *least;
  const double span = *most - low + 1e-6;
  for (double& x : plane) {
    if (c.normalize == Normalize::minmax) x = (x - low) / span;
    if (c.normalize == Normalize::mean_std) x = (x - c.mean) / c.std;
  }
  return plane;
}

}  // namespace whimbrel::reference
