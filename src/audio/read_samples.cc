#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "audio/decoder.h"
#include "whimbrel/core.h"

namespace whimbrel {

std::vector<float> read_samples(const std::filesystem::path& path, int sample_rate_hz, double start_s, double duration_s,
                                int* rate_hz) {
  if (!(start_s >= 0) || !(duration_s >= 0) || sample_rate_hz < 0) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: start {} s, duration {} s, rate {} Hz, expected 0 or more each",
                                                         path.string(), start_s, duration_s, sample_rate_hz));
  }
  const auto reader = RecordingReader::open(path);
  const int own_hz = reader->sample_rate_hz();
  const int out_hz = sample_rate_hz == 0 ? own_hz : sample_rate_hz;
  if (rate_hz != nullptr) *rate_hz = out_hz;
  constexpr double kAll = 1e15;  // samples: a double holds every whole number below
  const auto skip = static_cast<std::int64_t>(std::llround(std::min(start_s * out_hz, kAll)));
  const auto most = duration_s == 0 ? std::numeric_limits<std::int64_t>::max()
                                    : static_cast<std::int64_t>(std::llround(std::min(duration_s * out_hz, kAll)));
  Resampler resampler(own_hz, out_hz);
  std::vector<float> block(audio::kBlockFrames), ready, samples;
  std::int64_t passed = 0;  // samples at out_hz before ready[0]
  for (bool ended = false; !ended && std::ssize(samples) < most;) {
    const auto frames = reader->read(block);
    ended = frames == 0;
    if (ended) {
      resampler.finish(ready);
    } else {
      resampler.push(std::span(block).first(frames), ready);
    }
    const auto from = std::clamp<std::int64_t>(skip - passed, 0, std::ssize(ready));
    const auto count = std::min(std::ssize(ready) - from, most - std::ssize(samples));
    samples.insert(samples.end(), ready.begin() + from, ready.begin() + from + count);
    passed += std::ssize(ready);
    ready.clear();
  }
  return samples;
}

}  // namespace whimbrel
