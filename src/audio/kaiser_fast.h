// Resampling as librosa's res_type="kaiser_fast" does it, for networks that were trained or published on such audio.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace whimbrel::audio {

/// Band-limited interpolation (Smith, "Digital Audio Resampling", 2002) with resampy 0.4's kaiser_fast filter, equal to it up
/// to float32 summation. Streaming: the output does not depend on how the input is cut. Not thread-safe.
class KaiserFast {
 public:
  KaiserFast(int from_hz, int to_hz);

  void push(std::span<const float> in, std::vector<float>& out);
  void finish(std::vector<float>& out);

 private:
  void emit(std::int64_t until, std::vector<float>& out);

  std::int64_t from_;  // both divided by their greatest common divisor
  std::int64_t to_;
  std::int64_t left_ = 0;      // taps up to and with the input sample at or before an output sample
  std::int64_t taps_ = 0;      // with those after it; a multiple of kLanes
  std::vector<float> phases_;  // [to_][taps_]
  std::vector<float> input_;   // from input sample begin_ on
  std::int64_t begin_ = 0;
  std::int64_t received_ = 0;  // input samples so far
  std::int64_t made_ = 0;      // output samples so far
};

}  // namespace whimbrel::audio
