#include <fmt/format.h>
#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <array>
#include <utility>

#include "features/kernels.h"
#include "whimbrel/core.h"
#include "whimbrel/features.h"

namespace whimbrel {
namespace {

using AlignedFloats = hwy::AlignedFreeUniquePtr<float[]>;

AlignedFloats aligned_floats(std::int64_t count) { return hwy::AllocateAligned<float>(static_cast<std::size_t>(count)); }

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

struct FrameRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// The frames that touch no padding.
FrameRange inner_frames(const MelConfig& config, std::int64_t window_samples, std::int64_t pad) {
  const std::int64_t begin = ceil_div(pad, config.hop_samples);
  const std::int64_t last_start = window_samples + pad - config.n_fft;
  return {begin, last_start < 0 ? begin : std::max(begin, last_start / config.hop_samples + 1)};
}

constexpr std::int64_t kMostValues = std::int64_t{1} << 26;  // of a window's spectrogram: 256 MB

void check_window(const MelConfig& config, std::int64_t window_samples, std::int64_t shift_samples) {
  std::int64_t needed = config.n_fft;
  if (config.center) needed = config.pad == PadMode::reflect ? config.n_fft / 2 + 1 : 1;
  if (window_samples < needed) {
    throw Error(ErrorCode::bad_manifest,
                fmt::format("[input] window of {} samples, expected at least {} for n_fft={}; set a longer input.window_s or a "
                            "smaller input.mel.n_fft in the manifest",
                            window_samples, needed, config.n_fft));
  }
  if (const auto frames = mel_frame_count(config, window_samples); frames > kMostValues / config.n_mels) {
    throw Error(
        ErrorCode::bad_manifest,
        fmt::format("[input] window of {} frames of {} bands, expected at most {} values; set a shorter input.window_s or "
                    "a larger input.mel.hop_samples in the manifest",
                    frames, config.n_mels, kMostValues));
  }
  if (shift_samples < 1) {
    throw Error(
        ErrorCode::bad_manifest,
        fmt::format("[input] windows {} samples apart, expected at least 1; set input.hop_s in the manifest", shift_samples));
  }
}

}  // namespace

struct MelFrontEnd::Impl {
  Impl(const MelConfig& config_in, int sample_rate_hz, std::int64_t window, std::int64_t shift)
      : tables(mel_tables(config_in, sample_rate_hz)), config(tables->config), window_samples(window) {
    check_window(config, window_samples, shift);
    frames = mel_frame_count(config, window_samples);
    pad = config.center ? config.n_fft / 2 : 0;
    inner = inner_frames(config, window_samples, pad);
    if (shift % config.hop_samples == 0 && shift / config.hop_samples < inner.end - inner.begin) {
      shift_frames = shift / config.hop_samples;
    }
    allocate();
  }

  void allocate() {
    const int lanes = simd.lanes;
    const int points = tables->points;
    rows = std::min(config.hop_samples, config.n_fft);
    const auto stride = static_cast<int>(ceil_div(lanes - 1 + ceil_div(config.n_fft, config.hop_samples), 4) * 4);
    columns.resize(static_cast<std::size_t>(stride));
    edge.resize(columns.size() * static_cast<std::size_t>(rows));
    for (const int point : tables->order) {
      for (const int sample : {2 * point, 2 * point + 1}) {
        offsets.push_back(sample % config.hop_samples * stride + sample / config.hop_samples);
      }
    }
    const std::int64_t padded = ceil_div(config.n_mels * frames, lanes) * lanes;
    memory = {aligned_floats(std::int64_t{rows} * stride), aligned_floats(std::int64_t{2} * points * lanes),
              aligned_floats((std::int64_t{points} + 1) * lanes), aligned_floats(padded),
              aligned_floats(shift_frames > 0 ? padded : 1)};
    scratch.panel = memory[0].get();
    scratch.spectrum = memory[1].get();
    scratch.magnitudes = memory[2].get();
    scratch.offsets = offsets.data();
    mel = memory[3].get();
    levels = shift_frames > 0 ? memory[4].get() : mel;
  }

  /// The sample at a position that may lie in the padding; 0 beyond that.
  float padded_sample(std::span<const float> window, std::int64_t position) const {
    if (config.center && config.pad == PadMode::reflect) {
      if (position < 0) position = -position;
      if (position >= window_samples) position = 2 * (window_samples - 1) - position;
    }
    return position >= 0 && position < window_samples ? window[static_cast<std::size_t>(position)] : 0.0F;
  }

  void compute_frames(std::span<const float> window, std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin; first < end; first += simd.lanes) {
      float* spare = edge.data();
      for (std::size_t c = 0; c < columns.size(); ++c) {
        const std::int64_t start = (first + static_cast<std::int64_t>(c)) * config.hop_samples - pad;
        if (start >= 0 && start + rows <= window_samples) {
          columns[c] = window.data() + start;
          continue;
        }
        for (std::int64_t r = 0; r < rows; ++r) spare[r] = padded_sample(window, start + r);
        columns[c] = std::exchange(spare, spare + rows);
      }
      const FrameBatch batch{columns.data(), static_cast<int>(columns.size()), rows,
                             static_cast<int>(std::min<std::int64_t>(simd.lanes, end - first))};
      simd.mel_power(*tables, batch, scratch, mel + first, frames);
    }
  }

  /// Moves the frames that the previous window shares with this one to where they are now. Returns them.
  FrameRange reuse_frames() {
    const std::int64_t count = inner.end - inner.begin - shift_frames;
    for (std::int64_t band = 0; band < config.n_mels; ++band) {
      float* const to = mel + band * frames + inner.begin;
      std::copy_n(to + shift_frames, count, to);
    }
    return {inner.begin, inner.begin + count};
  }

  std::shared_ptr<const MelTables> tables;
  const MelConfig& config;
  SimdKernels simd = simd_kernels();
  std::int64_t window_samples = 0;
  std::int64_t frames = 0;
  std::int64_t pad = 0;
  FrameRange inner;
  std::int64_t shift_frames = 0;  // from one window to the next; 0 where they share no frame
  bool has_previous = false;

  int rows = 0;
  std::vector<const float*> columns;
  std::vector<float> edge;  // columns that reach beyond the window
  std::vector<int> offsets;
  std::array<AlignedFloats, 5> memory;
  Scratch scratch;
  float* mel = nullptr;     // [n_mels, frames] before the level, kept for the next window
  float* levels = nullptr;  // the same memory where nothing is kept
};

MelFrontEnd::MelFrontEnd(const MelConfig& config, int sample_rate_hz, std::int64_t window_samples, std::int64_t shift_samples)
    : impl_(std::make_unique<Impl>(config, sample_rate_hz, window_samples, shift_samples)) {}

MelFrontEnd::~MelFrontEnd() = default;
MelFrontEnd::MelFrontEnd(MelFrontEnd&&) noexcept = default;
MelFrontEnd& MelFrontEnd::operator=(MelFrontEnd&&) noexcept = default;

std::int64_t MelFrontEnd::frames() const { return impl_->frames; }
std::int64_t MelFrontEnd::bands() const { return impl_->config.n_mels; }

void MelFrontEnd::compute(std::span<const float> window, std::span<float> plane) {
  Impl& impl = *impl_;
  const std::int64_t n = bands() * frames();
  if (std::ssize(window) != impl.window_samples || std::ssize(plane) != n) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("MelFrontEnd::compute: window of {} samples and plane of {} values, expected {} and {}; pass what "
                            "the constructor was given",
                            window.size(), plane.size(), impl.window_samples, n));
  }
  if (std::exchange(impl.has_previous, true) && impl.shift_frames > 0) {
    const auto kept = impl.reuse_frames();
    impl.compute_frames(window, 0, kept.begin);
    impl.compute_frames(window, kept.end, impl.frames);
  } else {
    impl.compute_frames(window, 0, impl.frames);
  }
  impl.simd.finish(impl.config, impl.mel, impl.levels, n, plane.data());
}

void MelFrontEnd::restart() { impl_->has_previous = false; }

}  // namespace whimbrel
