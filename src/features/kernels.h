// The inner loops, compiled once per SIMD target and chosen at run time.
#pragma once

#include <cstdint>

#include "features/tables.h"

namespace whimbrel {

/// Up to `lanes` frames, hop_samples apart. Frames stand in SIMD lanes, so that every step of the FFT is the same plain vector
/// operation whatever its stride, and no result depends on the lane or on its neighbours.
struct FrameBatch {
  /// Column c points at sample c * hop_samples of the first frame: there are min(hop_samples, n_fft) samples.
  const float* const* columns = nullptr;
  int column_count = 0;  // a multiple of 4
  int rows = 0;
  int frames = 0;
};

/// Memory of one front end, all aligned to a vector.
struct Scratch {
  float* panel = nullptr;        // [rows][column_count]: the samples of a batch, transposed
  const int* offsets = nullptr;  // [points][2]: where in the panel the FFT reads, in MelTables::order
  float* spectrum = nullptr;     // [points][2][lanes]
  float* magnitudes = nullptr;   // [points + 1][lanes]: |X|^power
};

struct SimdKernels {
  const char* target = nullptr;  // "AVX2"
  int lanes = 0;

  /// mel[b * mel_stride + f] = sum of |X|^power under band b, of frame f < batch.frames.
  void (*mel_power)(const MelTables& tables, const FrameBatch& batch, const Scratch& scratch, float* mel,
                    std::int64_t mel_stride) = nullptr;

  /// Level, reference, floor and normalization of one window.
  /// @param mel     [n], padded to a whole vector; its padding is overwritten
  /// @param levels  the same size, may be mel itself
  /// @param plane   [n]
  void (*finish)(const MelConfig& config, float* mel, float* levels, std::int64_t n, float* plane) = nullptr;
};

/// The kernels of the best target that this CPU has.
SimdKernels simd_kernels();

}  // namespace whimbrel
