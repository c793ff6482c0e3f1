// Front ends: what a network sees of a window. Streaming STFT and mel with run-time SIMD dispatch.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace whimbrel {

enum class MelScale { slaney, htk };
enum class MelNorm { slaney, none };
enum class PadMode { reflect, constant };
enum class Level { db, log, none };
enum class LevelRef { one, max };
enum class Normalize { minmax, mean_std, none };

/// A mel spectrogram as librosa and torchaudio define it. Field names are the manifest's `[input.mel]` keys.
///
/// Computed in float32: within 1e-3 dB of librosa, 80 dB down; between 70 and 80 dB below a pure tone within 3e-3 dB.
///
/// level db: 10 log10(max(x, amin)) less the reference (librosa.power_to_db, torchaudio's AmplitudeToDB("power")); for power 1
/// it is 20 log10 and amin an amplitude (librosa.amplitude_to_db, AmplitudeToDB("magnitude")). With ref max the window's
/// largest value is 0 dB. top_db raises what lies further below the window's largest value. level log is ln(max(x, amin)); ref
/// and top_db belong to db and are refused elsewhere. normalize: minmax is (x - min) / (max - min + 1e-6) over the window;
/// mean_std is (x - mean) / std.
struct MelConfig {
  int n_fft = 2048;       // even, without a prime factor above 31
  int win_length = 2048;  // periodic Hann, centred in n_fft
  int hop_samples = 512;
  int n_mels = 128;
  double f_min_hz = 0;
  double f_max_hz = 0;  // 0: half the sample rate
  MelScale scale = MelScale::slaney;
  MelNorm norm = MelNorm::slaney;
  double power = 2.0;  // 1: magnitude, 2: power; up to 4
  bool center = true;
  PadMode pad = PadMode::reflect;
  Level level = Level::db;
  LevelRef ref = LevelRef::one;
  double amin = 1e-10;
  std::optional<double> top_db;  // absent: no floor
  Normalize normalize = Normalize::none;
  double mean = 0;  // of mean_std
  double std = 1;

  bool operator==(const MelConfig&) const = default;
};

/// Mel filter bank [n_mels][n_fft / 2 + 1], row-major, in double before rounding to float32.
/// Source: Slaney's mel scale (Auditory Toolbox, 1998) as librosa reads it, or HTK's (O'Shaughnessy 1987).
std::vector<float> mel_filter_bank(const MelConfig& config, int sample_rate_hz);

/// Throws Error{bad_manifest} naming the first field that is out of range: "[input.mel] n_mels=0, expected 1..512; ...".
void validate(const MelConfig& config, int sample_rate_hz);

/// Frames of a window of n samples: 1 + n / hop when centred, 1 + (n - n_fft) / hop otherwise (0 where n < n_fft).
std::int64_t mel_frame_count(const MelConfig& config, std::int64_t window_samples);

/// The front end of one recording: turns its windows, in order, into log-mel planes.
///
/// Where windows overlap and hop_samples divides shift_samples, frames that lie wholly inside both windows are computed once.
/// The result of a window never depends on the windows before it, bit for bit.
/// Not thread-safe; tables (window, twiddles, filter bank) are shared between the instances of one configuration.
class MelFrontEnd {
 public:
  /// @param window_samples  length of every window
  /// @param shift_samples   from the start of one window to the start of the next
  /// @throws Error{bad_manifest} as validate(), or when a window is too short for one frame
  MelFrontEnd(const MelConfig& config, int sample_rate_hz, std::int64_t window_samples, std::int64_t shift_samples);
  ~MelFrontEnd();
  MelFrontEnd(MelFrontEnd&&) noexcept;
  MelFrontEnd& operator=(MelFrontEnd&&) noexcept;

  std::int64_t frames() const;
  std::int64_t bands() const;

  /// @param window  [window_samples], float32 in [-1, 1]
  /// @param plane   [n_mels, frames] row-major, written whole
  /// Successive calls get successive windows of one recording; call restart() before another one.
  void compute(std::span<const float> window, std::span<float> plane);

  /// Forgets the frames kept from the previous window.
  void restart();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Name of the SIMD target in use: "AVX2", "AVX3", ...
std::string_view front_end_simd_target();

}  // namespace whimbrel
