// Recordings made at test time, and slow obvious ways to look at what was decoded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "whimbrel/audio.h"
#include "whimbrel/core.h"

namespace whimbrel::audio_test {

/// A folder of the running test, removed at the end.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// The folder of real recordings; empty where there is none.
std::filesystem::path shared_data();

/// @param samples  [frames, channels]
/// @param format   libsndfile's, SF_FORMAT_WAV | SF_FORMAT_PCM_16
void write_audio(const std::filesystem::path& path, int format, int rate_hz, int channels, std::span<const float> samples);

void write_bytes(const std::filesystem::path& path, std::string_view bytes);
std::string read_bytes(const std::filesystem::path& path);

/// A RIFF WAVE file of 16-bit PCM byte by byte, so that its header can lie.
std::string wav_bytes(std::uint32_t rate_hz, std::uint16_t channels, std::uint32_t claimed_data_bytes, std::string_view data);

/// False where there is no ffmpeg command or it has no such encoder. Converts `from` with these output options.
bool ffmpeg(const std::filesystem::path& from, const std::string& options, const std::filesystem::path& to);

/// amplitude * sin(2 pi f n / rate), in double before rounding.
std::vector<float> tone(double frequency_hz, int rate_hz, std::size_t frames, double amplitude = 0.5);

/// A sweep from 200 Hz to a quarter of the rate: unlike a tone, it matches itself at one position only.
std::vector<float> sweep(int rate_hz, std::size_t frames);

/// Uniform in [-0.9, 0.9), always the same.
std::vector<float> noise(std::size_t frames, std::uint32_t seed = 1);

struct Decoded {
  std::vector<float> samples;
  std::string codec;
  int rate_hz = 0;
  int channels = 0;
  std::int64_t non_finite = 0;
  std::string error;  // of read(), "" at a proper end
};

/// Reads a recording to its end in blocks of this many frames.
Decoded decode(const std::filesystem::path& path, std::size_t block = 4096);

/// Ratio of the power of `expected` to that of the difference, dB, over frames [from, to).
double snr_db(std::span<const float> expected, std::span<const float> got, std::size_t from, std::size_t to);

/// Amplitude of the component at a frequency, by least squares over the middle half of the signal.
double amplitude_at(double frequency_hz, int rate_hz, std::span<const float> samples);

/// The message of the Error that the action throws, checked to have this code; fails the test if none comes.
std::string message_of(ErrorCode code, const std::function<void()>& action);

}  // namespace whimbrel::audio_test
