// The mel filter bank as triangles over FFT bins.
#pragma once

#include <vector>

#include "whimbrel/features.h"

namespace whimbrel {

/// One band: the bins from `first` on where its triangle is above 0.
struct MelBand {
  int first = 0;
  std::vector<float> weights;
};

std::vector<MelBand> mel_bands(const MelConfig& config, int sample_rate_hz);

/// The largest prime factor that the FFT takes: its cost grows with the factor, and 31 leaves few sizes out.
inline constexpr int kMaxPrimeFactor = 31;

/// Prime factors of n, 2 and 2 joined to 4 where possible, those first. What is left over when no factor up to
/// kMaxPrimeFactor divides is the last entry.
std::vector<int> fft_radices(int n);

}  // namespace whimbrel
