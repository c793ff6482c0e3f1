// Audio: any recording to mono windows at the model's rate, streaming.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace whimbrel {

/// Decodes one recording to mono float32 (the mean of its channels) at its own rate, block by block.
/// FFmpeg reads Ogg and MPEG audio, libsndfile the rest, and FFmpeg what libsndfile cannot. Where FFmpeg's time
/// stamps show a loss inside the recording, it is read as silence, so that times stay right, and read() says so at the end; MP3
/// has no stamps: lost sync there shortens the recording. Not thread-safe; one instance is one pass.
class RecordingReader {
 public:
  /// @throws Error{bad_recording} with what was found and what was expected; Error{not_found} if there is no such file
  static std::unique_ptr<RecordingReader> open(const std::filesystem::path& path);
  /// Of samples in memory, which must outlive it. @param name  for messages
  /// @throws Error{bad_recording} for a rate that open() would not take either
  static std::unique_ptr<RecordingReader> of_samples(const std::string& name, std::span<const float> mono, int sample_rate_hz);
  virtual ~RecordingReader() = default;

  int sample_rate_hz() const { return sample_rate_hz_; }
  int channels() const { return channels_; }
  /// "WAV/PCM_16", "FLAC/PCM_24", "FFmpeg/aac"
  const std::string& codec() const { return codec_; }
  /// Frames that the header claims; absent where the format does not say.
  std::optional<std::int64_t> declared_frames() const { return declared_frames_; }

  /// Fills `mono` from the front. Returns the frames written; fewer than asked only at the end; 0 at and after the end.
  /// NaN, infinite and absurd samples (2^40 and more, which would overflow in a spectrum) are read as 0 and counted.
  /// @throws Error{bad_recording} where decoding stops early, and at the end of a recording damaged inside; what was returned
  /// before stays valid
  virtual std::size_t read(std::span<float> mono) = 0;

  std::int64_t non_finite_samples() const { return non_finite_samples_; }

 protected:
  int sample_rate_hz_ = 0;
  int channels_ = 0;
  std::string codec_;
  std::optional<std::int64_t> declared_frames_;
  std::int64_t non_finite_samples_ = 0;
};

/// How a signal is brought to another rate. A network hears the difference: BirdNET's confidences move by up to 0.5.
enum class ResampleMethod {
  soxr_hq,      // libsoxr, HQ: linear phase, 20 bit; also librosa's default
  kaiser_fast,  // as librosa's res_type="kaiser_fast" (resampy): a wider transition, which begins at 0.8 of the band
};

/// Streaming conversion of one mono signal to another rate. Equal rates pass through untouched. The output does not depend on
/// how the input is cut into blocks. Not thread-safe.
class Resampler {
 public:
  /// @throws Error{invalid_argument} for rates below 1
  Resampler(int from_hz, int to_hz, ResampleMethod method = ResampleMethod::soxr_hq);
  ~Resampler();
  Resampler(Resampler&&) noexcept;
  Resampler& operator=(Resampler&&) noexcept;

  /// Appends what is ready to `out`.
  void push(std::span<const float> in, std::vector<float>& out);
  /// Appends the tail; no push() after it.
  void finish(std::vector<float>& out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Where windows lie: window i covers samples [i * hop_samples, i * hop_samples + window_samples) at sample_rate_hz.
struct WindowGrid {
  int sample_rate_hz = 32000;
  std::int64_t window_samples = 160000;
  std::int64_t hop_samples = 160000;
  /// Windows are full, but for one: the first that reaches beyond the end is padded with zeros and kept if the signal in it
  /// that no window before it covers is at least min_signal * window_samples (and one sample). What is dropped is therefore
  /// always shorter than that, and never more than a hop. A recording shorter than one window gives one window.
  double min_signal = 0.5;
  ResampleMethod resampler = ResampleMethod::soxr_hq;

  bool operator==(const WindowGrid&) const = default;
};

/// Windows that a signal of `samples` at the grid's rate gives, by the rule of WindowGrid; 0 without a sample.
std::int64_t window_count(const WindowGrid& grid, std::int64_t samples);

/// One recording as a stream of windows on one or more grids of the same seconds (one per distinct sample rate): decoded once,
/// resampled once per rate. Memory: one window per grid plus a block, whatever the recording's length. Not thread-safe.
class WindowStream {
 public:
  /// @param grids  window and hop of all grids are the same number of seconds; the first grid decides the number of windows
  /// @param margin_s  how far window() may be asked to reach beyond a window at either side
  /// @throws as RecordingReader::open; Error{bad_recording} when not one sample decodes; Error{invalid_argument} for grids that
  /// are empty, out of range, or not of the same seconds
  WindowStream(const std::filesystem::path& path, const std::vector<WindowGrid>& grids, double margin_s = 0);
  /// The same of a recording that is open. @param name  for messages
  WindowStream(std::unique_ptr<RecordingReader> reader, const std::string& name, const std::vector<WindowGrid>& grids,
               double margin_s = 0);
  ~WindowStream();
  WindowStream(WindowStream&&) noexcept;

  /// Moves to the next window. False at the end of the recording.
  /// A recording that stops decoding part-way still gives the windows that were decoded, by the rule of WindowGrid; then
  /// error() says what happened. The first call is always true.
  bool next();

  /// Index of the current window, from 0.
  std::int64_t index() const;
  /// [grids[g].window_samples], from `shift_samples` (at most the margin, either way) after the window's start, zeros beyond
  /// the recording's ends; valid until the next call of next().
  std::span<const float> window(std::size_t g, std::int64_t shift_samples = 0) const;

  const RecordingReader& reader() const;
  /// Seconds of the recording decoded so far.
  double decoded_s() const;
  /// Why decoding stopped before the end that the header claims, or "".
  const std::string& error() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Samples of a part of a recording, mono.
/// @param sample_rate_hz  of the result; 0: the recording's own
/// @param duration_s      0: to its end
/// @param rate_hz         receives the rate of the result
/// @return  fewer samples than asked for only where the recording ends
/// @throws as RecordingReader::open and read; Error{invalid_argument} for times or a rate below 0
std::vector<float> read_samples(const std::filesystem::path& path, int sample_rate_hz, double start_s, double duration_s,
                                int* rate_hz);

/// Where a recording's start was found.
enum class RecordingTimeSource { guano, opensoundscape, audiomoth, bext, file_name };
/// "guano", "opensoundscape", "audiomoth", "bext", "file name"
std::string_view to_string(RecordingTimeSource source);

/// When a recording began, or a moment in it.
struct RecordingTime {
  std::int64_t unix_us = 0;           // of the recorder's wall clock read as UTC where its zone is not known
  std::optional<int> utc_offset_min;  // of local time, east positive; absent: not known
  RecordingTimeSource source = RecordingTimeSource::file_name;

  bool operator==(const RecordingTime&) const = default;
};

/// When a recording began, by the first of these that gives a valid time from 1900 to 2100: in RIFF, RF64 and BW64 WAVE files
/// GUANO's Timestamp, OpenSoundscape's start, AudioMoth's comment, the Broadcast Wave chunk; then the name. Absent where none
/// does, whatever the bytes. Reads the chunks' headers and at most 64 KiB of each of these.
std::optional<RecordingTime> recording_time(const std::filesystem::path& path);

/// By the file's name alone: `20230501_050000` anywhere between what are no digits (also T, -, $ or a space between date and
/// time, or `2023-05-01_05-00-00`; then perhaps the zone: `Z`, `+0200`), or AudioMoth's eight hexadecimal digits.
std::optional<RecordingTime> recording_time_from_name(const std::filesystem::path& path);

/// `time` so many samples later, rounded to the microsecond.
RecordingTime moment_in(const RecordingTime& time, std::int64_t samples, int sample_rate_hz);

/// RFC 3339 in local time, rounded to the millisecond: "2019-05-21T21:17:30.000+02:00", "...Z" for UTC; nothing after the
/// milliseconds where the zone is not known.
std::string rfc3339(const RecordingTime& time);

/// File name endings, lower case with the dot, that a folder is searched for.
const std::vector<std::string>& recording_extensions();

}  // namespace whimbrel
