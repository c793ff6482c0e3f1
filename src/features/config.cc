#include <fmt/format.h>

#include "features/filter_bank.h"
#include "whimbrel/core.h"
#include "whimbrel/features.h"

namespace whimbrel {
namespace {

constexpr int kMaxFft = 65536;

template <class T>
[[noreturn]] void reject(std::string_view field, T found, std::string_view expected, std::string_view remedy = "") {
  throw Error(ErrorCode::bad_manifest, fmt::format("[input.mel] {}={}, expected {}; set input.mel.{} in the manifest{}", field,
                                                   found, expected, field, remedy));
}

/// Written so that NaN is rejected too.
template <class T>
void expect_range(std::string_view field, T found, T low, T high) {
  if (!(found >= low && found <= high)) reject(field, found, fmt::format("{}..{}", low, high));
}

bool is_supported_fft(int n) { return n % 2 == 0 && fft_radices(n / 2).back() <= kMaxPrimeFactor; }

void expect_fft(int n_fft) {
  expect_range("n_fft", n_fft, 4, kMaxFft);
  if (is_supported_fft(n_fft)) return;
  int next = n_fft + 1;
  while (!is_supported_fft(next)) ++next;
  reject("n_fft", n_fft, fmt::format("an even number without a prime factor above {}", kMaxPrimeFactor),
         fmt::format(" (the next one is {})", next));
}

void expect_level(const MelConfig& config) {
  expect_range("amin", config.amin, 1e-30, 1e6);
  if (config.top_db) expect_range("top_db", *config.top_db, 0.0, 1000.0);
  if (config.level == Level::db) return;
  // Silently ignored they would be a wrong spectrogram.
  if (config.top_db) reject("top_db", *config.top_db, R"(none unless level = "db")");
  if (config.ref == LevelRef::max) reject("ref", "max", R"("one" unless level = "db")");
}

}  // namespace

void validate(const MelConfig& config, int sample_rate_hz) {
  if (sample_rate_hz < 1) {
    throw Error(ErrorCode::bad_manifest,
                fmt::format("[input] sample_rate_hz={}, expected at least 1; set input.sample_rate_hz in the manifest",
                            sample_rate_hz));
  }
  const double nyquist_hz = sample_rate_hz / 2.0;
  expect_fft(config.n_fft);
  expect_range("win_length", config.win_length, 2, config.n_fft);
  expect_range("hop_samples", config.hop_samples, 1, 1 << 24);
  expect_range("n_mels", config.n_mels, 1, 512);
  expect_range("f_max_hz", config.f_max_hz, 0.0, nyquist_hz);
  const double f_max_hz = config.f_max_hz > 0 ? config.f_max_hz : nyquist_hz;
  if (!(config.f_min_hz >= 0 && config.f_min_hz < f_max_hz)) {
    reject("f_min_hz", config.f_min_hz, fmt::format("at least 0 and below f_max_hz={}", f_max_hz));
  }
  if (!(config.power > 0 && config.power <= 4)) reject("power", config.power, "above 0 and at most 4");
  expect_level(config);
  if (config.normalize == Normalize::mean_std) {
    expect_range("mean", config.mean, -1e6, 1e6);
    expect_range("std", config.std, 1e-6, 1e6);
  }
}

std::int64_t mel_frame_count(const MelConfig& config, std::int64_t window_samples) {
  if (config.center) return 1 + window_samples / config.hop_samples;
  return window_samples < config.n_fft ? 0 : 1 + (window_samples - config.n_fft) / config.hop_samples;
}

}  // namespace whimbrel
