// What a front end looks up, computed once for all instances of one configuration.
#pragma once

#include <memory>
#include <vector>

#include "features/filter_bank.h"
#include "whimbrel/features.h"

namespace whimbrel {

/// One pass of the FFT: every `radix` transforms of `length` points become one of radix * length points.
struct FftPass {
  int radix = 0;
  int length = 0;
  std::size_t twiddles = 0;  // where its factors begin in MelTables::twiddles
};

/// Immutable, so shared between threads.
struct MelTables {
  MelConfig config;
  int points = 0;  // n_fft / 2: two real samples are one complex point
  std::vector<FftPass> passes;
  /// (re, im) pairs. Radix 4: [length][2], w and w^2 of L = 4 * length. Others: [length][radix - 1], w ... w^(radix-1); then,
  /// for odd radices, [radix], the roots of unity as (cos, sin).
  std::vector<float> twiddles;
  std::vector<int> order;     // [points]: the point that the FFT reads at each position
  std::vector<float> window;  // [points][2], in that order, halved: see split_real()
  std::vector<float> split;   // [points / 2 + 1][2]: exp(-2 pi i k / n_fft)
  std::vector<MelBand> bands;
};

/// @throws Error{bad_manifest} as validate()
/// Thread-safe.
std::shared_ptr<const MelTables> mel_tables(const MelConfig& config, int sample_rate_hz);

}  // namespace whimbrel
