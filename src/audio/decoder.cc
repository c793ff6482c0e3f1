#include "audio/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "whimbrel/core.h"

namespace whimbrel::audio {
namespace {

// Encoders count their padding in the length that they declare and decoders drop it: AAC at 8 kHz reaches 0.4 s.
constexpr double kPaddingS = 0.5;

}  // namespace

std::size_t Decoder::read(std::span<float> mono) {
  const std::size_t frames = decode(mono);
  decoded_frames_ += static_cast<std::int64_t>(frames);
  if (frames > 0 || mono.empty()) return frames;
  if (non_finite_samples_ > 0 && !std::exchange(told_, true)) {
    log(LogLevel::warning, fmt::format("{}: {} samples that are no numbers, or absurdly large, were read as 0", path_.string(),
                                       non_finite_samples_));
  }
  const double rate = sample_rate_hz_;
  const double decoded_s = static_cast<double>(decoded_frames_) / rate;
  const double declared_s = declared_frames_ ? static_cast<double>(*declared_frames_) / rate : 0;
  std::string words = failure_;
  if (words.empty() && declared_s > decoded_s + kPaddingS) words = "the file ends before its header says";
  if (words.empty() && damage_.empty()) return 0;
  const std::string of = declared_frames_ ? fmt::format(" of {:.1f} s", declared_s) : "";
  if (!words.empty()) words = fmt::format("decoding stopped at {:.1f} s{}: {}", decoded_s, of, words);
  if (!damage_.empty()) words = damage_ + (words.empty() ? "" : "; ") + words;
  throw Error(ErrorCode::bad_recording,
              fmt::format("{}: {}; expected a whole {} file; copy it from the recorder again", path_.string(), words, codec_));
}

std::int64_t zero_non_finite(std::span<float> samples) {
  constexpr std::int32_t kMagnitudeBits = 0x7fffffff;
  constexpr auto kLimit = std::bit_cast<std::int32_t>(0x1p40f);
  const auto magnitude = [](float x) { return std::bit_cast<std::int32_t>(x) & kMagnitudeBits; };

  // The bits of a float grow with its magnitude, and infinity and NaN are above all others: one maximum decides.
  std::int32_t largest = 0;
  for (const float x : samples) largest = std::max(largest, magnitude(x));
  if (largest < kLimit) return 0;

  std::int64_t count = 0;
  for (float& x : samples) {
    if (magnitude(x) < kLimit) continue;
    x = 0;
    ++count;
  }
  return count;
}

void downmix(std::span<const float> interleaved, int channels, std::span<float> mono) {
  // The common cases, in a form that vectorizes.
  if (channels == 1) {
    std::ranges::copy(interleaved.first(mono.size()), mono.begin());
    return;
  }
  if (channels == 2) {
    for (std::size_t i = 0; i < mono.size(); ++i) mono[i] = (interleaved[2 * i] + interleaved[2 * i + 1]) * 0.5f;
    return;
  }
  const auto stride = static_cast<std::size_t>(channels);
  for (std::size_t i = 0; i < mono.size(); ++i) {
    const float* frame = interleaved.data() + i * stride;
    mono[i] = std::accumulate(frame, frame + stride, 0.0f) / static_cast<float>(channels);
  }
}

}  // namespace whimbrel::audio
