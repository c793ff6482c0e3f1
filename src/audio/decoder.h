// What the two decoding libraries share: the end of a recording, the downmix, and the repair of samples that are not numbers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "whimbrel/audio.h"

namespace whimbrel::audio {

/// Frames asked of a library at once: 128 kB of mono float stays in the second-level cache.
inline constexpr std::size_t kBlockFrames = 32768;

/// Keeps the promise of RecordingReader::read(): what a library could not deliver is an error, but only after the last good
/// frame.
class Decoder : public RecordingReader {
 public:
  std::size_t read(std::span<float> mono) final;

 protected:
  explicit Decoder(const std::filesystem::path& path) : path_(path) {}

  /// Fills `mono` from the front; fewer frames than asked only at the end, after which failure_ may hold the library's words.
  virtual std::size_t decode(std::span<float> mono) = 0;

  const std::filesystem::path& path() const { return path_; }
  std::int64_t decoded_frames() const { return decoded_frames_; }

  std::string failure_;
  std::string damage_;  // inside the recording, which goes on after it

 private:
  std::filesystem::path path_;
  std::int64_t decoded_frames_ = 0;
  bool told_ = false;  // of samples that are not numbers
};

/// nullptr where libsndfile cannot read the file or finds no samples in it; `words` then says why.
std::unique_ptr<RecordingReader> open_with_sndfile(const std::filesystem::path& path, std::string& words);
/// The same for FFmpeg. Only audio containers in local files: no playlists, no network.
std::unique_ptr<RecordingReader> open_with_ffmpeg(const std::filesystem::path& path, std::string& words);

/// Sets to 0 every NaN, infinity and magnitude of 2^40 and more (240 dB above full scale: no recording, and its square in a
/// spectrum would overflow float32). Returns how many. One pass of integer compares where there are none.
std::int64_t zero_non_finite(std::span<float> samples);

/// Mean over the channels. @param interleaved  [mono.size(), channels]
void downmix(std::span<const float> interleaved, int channels, std::span<float> mono);

}  // namespace whimbrel::audio
