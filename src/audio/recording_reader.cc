#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>

#include "audio/decoder.h"
#include "audio/descriptor.h"
#include "whimbrel/core.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

// Telemetry at 100 Hz up to the fastest ultrasound recorders (768 kHz); beyond that a header is broken.
constexpr int kMinRateHz = 100;
constexpr int kMaxRateHz = 1'000'000;
constexpr int kMaxChannels = 1024;  // libsndfile's own limit

constexpr const char* kExpected = "expected wav, flac, ogg, opus, mp3, m4a, wma or another audio file";

/// The first bytes of the file, zeros where it is shorter.
/// @throws Error{not_found}, Error{bad_recording} for a folder, a device, an unreadable or an empty file
std::array<unsigned char, 4> first_bytes(const fs::path& path) {
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  if (status.type() == fs::file_type::not_found) {
    throw Error(ErrorCode::not_found, fmt::format("{}: no such file; check the path", path.string()));
  }
  const auto refuse = [&](const std::string& found) -> Error {
    return Error(ErrorCode::bad_recording, fmt::format("{}: {}; {}", path.string(), found, kExpected));
  };
  if (status.type() == fs::file_type::none) throw refuse(code.message());
  if (status.type() == fs::file_type::directory) {
    const fs::directory_iterator listing(path, code);
    throw refuse(code ? "is a folder that cannot be listed: " + code.message() : "is a folder");
  }
  if (status.type() != fs::file_type::regular) throw refuse("is not a regular file");

  const audio::Descriptor file(path);
  if (file.fd < 0) throw refuse(std::system_category().message(errno));
  std::array<unsigned char, 4> bytes{};
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::read(file.fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw refuse("cannot be read: " + std::system_category().message(errno));
    if (n == 0 && done == 0) throw refuse("is empty (0 bytes)");
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return bytes;
}

/// FFmpeg decodes Opus in a quarter of libsndfile's time and Vorbis in two thirds. MPEG audio costs the same in both, but
/// libmpg123 inside libsndfile writes warnings to stderr; an ID3 tag or a frame's sync bits say that it is MPEG.
bool belongs_to_ffmpeg(const std::array<unsigned char, 4>& bytes) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (head.starts_with("ID3") || head.starts_with("OggS")) return true;
  return bytes[0] == 0xff && (bytes[1] & 0xe0) == 0xe0;
}

void check_header(const RecordingReader& reader, const std::string& name) {
  if (reader.sample_rate_hz() < kMinRateHz || reader.sample_rate_hz() > kMaxRateHz) {
    throw Error(ErrorCode::bad_recording,
                fmt::format("{}: the header claims a sample rate of {} Hz, expected {}..{}; if the sound is good, write the "
                            "true rate into the header",
                            name, reader.sample_rate_hz(), kMinRateHz, kMaxRateHz));
  }
  if (reader.channels() < 1 || reader.channels() > kMaxChannels) {
    throw Error(ErrorCode::bad_recording,
                fmt::format("{}: the header claims {} channels, expected 1..{}", name, reader.channels(), kMaxChannels));
  }
}

class SamplesReader final : public audio::Decoder {
 public:
  SamplesReader(const std::string& name, std::span<const float> mono, int sample_rate_hz) : Decoder(name), left_(mono) {
    sample_rate_hz_ = sample_rate_hz;
    channels_ = 1;
    codec_ = "array";
    declared_frames_ = static_cast<std::int64_t>(mono.size());
  }

 private:
  std::size_t decode(std::span<float> mono) override {
    const std::size_t count = std::min(mono.size(), left_.size());
    std::copy_n(left_.begin(), count, mono.begin());
    non_finite_samples_ += audio::zero_non_finite(mono.first(count));
    left_ = left_.subspan(count);
    return count;
  }

  std::span<const float> left_;
};

}  // namespace

std::unique_ptr<RecordingReader> RecordingReader::of_samples(const std::string& name, std::span<const float> mono,
                                                             int sample_rate_hz) {
  auto reader = std::make_unique<SamplesReader>(name, mono, sample_rate_hz);
  check_header(*reader, name);
  return reader;
}

std::unique_ptr<RecordingReader> RecordingReader::open(const fs::path& path) {
  std::string words;
  std::unique_ptr<RecordingReader> reader;
  if (!belongs_to_ffmpeg(first_bytes(path))) {
    reader = audio::open_with_sndfile(path, words);
    words = "libsndfile: " + words + ", ";
  }
  if (!reader) {
    std::string ffmpeg_words;
    reader = audio::open_with_ffmpeg(path, ffmpeg_words);
    words += "FFmpeg: " + ffmpeg_words;
  }
  if (!reader) throw Error(ErrorCode::bad_recording, fmt::format("{}: {}; {}", path.string(), words, kExpected));

  check_header(*reader, path.string());
  return reader;
}

const std::vector<std::string>& recording_extensions() {
  static const std::vector<std::string> extensions = {
      ".aac", ".aif", ".aifc", ".aiff", ".amr",  ".ape", ".au",  ".caf", ".flac", ".m4a",  ".mka", ".mp2", ".mp3",
      ".mp4", ".oga", ".ogg",  ".opus", ".rf64", ".tta", ".w64", ".wav", ".wave", ".webm", ".wma", ".wv"};
  return extensions;
}

}  // namespace whimbrel
