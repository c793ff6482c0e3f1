#include <fcntl.h>
#include <fmt/format.h>
#include <sndfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <system_error>

#include "audio/decoder.h"

namespace whimbrel::audio {
namespace {

struct Descriptor {
  explicit Descriptor(const std::filesystem::path& path) : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int fd;
};

struct SndfileCloser {
  void operator()(SNDFILE* file) const { sf_close(file); }
};

std::string major_name(int format) {
  switch (format & SF_FORMAT_TYPEMASK) {
    case SF_FORMAT_WAV:
      return "WAV";
    case SF_FORMAT_WAVEX:
      return "WAVEX";
    case SF_FORMAT_RF64:
      return "RF64";
    case SF_FORMAT_W64:
      return "W64";
    case SF_FORMAT_FLAC:
      return "FLAC";
    case SF_FORMAT_AIFF:
      return "AIFF";
    case SF_FORMAT_CAF:
      return "CAF";
    case SF_FORMAT_AU:
      return "AU";
    default:
      return fmt::format("libsndfile/{:#x}", format & SF_FORMAT_TYPEMASK);
  }
}

std::string sample_format_name(int format) {
  switch (format & SF_FORMAT_SUBMASK) {
    case SF_FORMAT_PCM_S8:
      return "PCM_S8";
    case SF_FORMAT_PCM_U8:
      return "PCM_U8";
    case SF_FORMAT_PCM_16:
      return "PCM_16";
    case SF_FORMAT_PCM_24:
      return "PCM_24";
    case SF_FORMAT_PCM_32:
      return "PCM_32";
    case SF_FORMAT_FLOAT:
      return "FLOAT";
    case SF_FORMAT_DOUBLE:
      return "DOUBLE";
    case SF_FORMAT_ULAW:
      return "ULAW";
    case SF_FORMAT_ALAW:
      return "ALAW";
    case SF_FORMAT_IMA_ADPCM:
      return "IMA_ADPCM";
    case SF_FORMAT_MS_ADPCM:
      return "MS_ADPCM";
    default:
      return fmt::format("{:#x}", format & SF_FORMAT_SUBMASK);
  }
}

struct RiffData {
  std::int64_t claimed_bytes = 0;
  std::int64_t present_bytes = 0;
};

/// The data chunk of a RIFF WAVE file that claims more than the file holds: libsndfile reads what is there and says nothing.
/// Sizes from 0x7ffff000 on are what recorders and pipes write before they know (SoX, arecord, FFmpeg): no claim.
std::optional<RiffData> short_riff_data(int fd) {
  struct stat status {};
  unsigned char head[12];
  if (::fstat(fd, &status) != 0 || ::pread(fd, head, 12, 0) != 12) return std::nullopt;
  if (std::memcmp(head, "RIFF", 4) != 0 || std::memcmp(head + 8, "WAVE", 4) != 0) return std::nullopt;
  std::int64_t at = 12;
  constexpr int kMostChunks = 1000;  // real files have ten; a file of zeros is millions of empty ones
  for (int count = 0; count < kMostChunks && ::pread(fd, head, 8, at) == 8; ++count) {
    const std::int64_t size = head[4] | head[5] << 8 | head[6] << 16 | static_cast<std::int64_t>(head[7]) << 24;
    at += 8;
    if (std::memcmp(head, "data", 4) == 0) {
      const RiffData data{size, status.st_size - at};
      if (size >= 0x7ffff000 || data.present_bytes >= size) return std::nullopt;
      return data;
    }
    at += size + (size & 1);
  }
  return std::nullopt;
}

class SndfileReader final : public Decoder {
 public:
  explicit SndfileReader(const std::filesystem::path& path) : Decoder(path), descriptor_(path) {}

  bool open(std::string& words) {
    if (descriptor_.fd < 0) {
      words = std::system_category().message(errno);
      return false;
    }
    SF_INFO info{};
    {
      // libsndfile keeps the reason of a failed open in a global.
      static std::mutex mutex;
      const std::scoped_lock lock(mutex);
      file_.reset(sf_open_fd(descriptor_.fd, SFM_READ, &info, SF_FALSE));
      if (!file_) words = words_of(nullptr);
    }
    if (!file_) return false;
    if ((info.format & SF_FORMAT_SUBMASK) == SF_FORMAT_MPEG_LAYER_III) {
      words = "MPEG audio";  // libmpg123 would write warnings to stderr
      return false;
    }
    sample_rate_hz_ = info.samplerate;
    channels_ = info.channels;
    codec_ = major_name(info.format) + "/" + sample_format_name(info.format);
    const std::optional<RiffData> cut = short_riff_data(descriptor_.fd);
    if (info.frames <= 0) {
      words = fmt::format("no samples behind the {} header", codec_);
      if (cut) words += fmt::format(", which claims {} bytes and has {}", cut->claimed_bytes, cut->present_bytes);
      return false;
    }
    if (info.frames == SF_COUNT_MAX) return true;  // a stream of unknown length
    declared_frames_ = info.frames;
    if (cut && cut->present_bytes > 0) {
      const double claim = static_cast<double>(cut->claimed_bytes) / static_cast<double>(cut->present_bytes);
      declared_frames_ = static_cast<std::int64_t>(std::min(static_cast<double>(info.frames) * claim, 0x1p60));
    }
    return true;
  }

 private:
  /// One line without libsndfile's "Error : " and full stop.
  static std::string words_of(SNDFILE* file) {
    std::string words = sf_strerror(file);
    if (words.starts_with("Error : ")) words.erase(0, 8);
    std::replace(words.begin(), words.end(), '\n', ' ');
    while (words.ends_with('.') || words.ends_with(' ')) words.pop_back();
    return words;
  }

  std::size_t decode(std::span<float> mono) override {
    std::size_t done = 0;
    while (done < mono.size()) {
      const std::span<float> rest = mono.subspan(done);
      const std::size_t frames = channels_ == 1 ? read_mono(rest) : read_mixed(rest);
      if (frames == 0) break;
      done += frames;
    }
    return done;
  }

  std::size_t read_mono(std::span<float> mono) {
    const std::size_t frames = read_frames(mono.data(), mono.size());
    non_finite_samples_ += zero_non_finite(mono.first(frames));
    return frames;
  }

  std::size_t read_mixed(std::span<float> mono) {
    const auto channels = static_cast<std::size_t>(channels_);
    const std::size_t wanted = std::min(mono.size(), std::max<std::size_t>(1, 2 * kBlockFrames / channels));
    interleaved_.resize(wanted * channels);
    const std::size_t frames = read_frames(interleaved_.data(), wanted);
    const std::span<float> samples(interleaved_.data(), frames * channels);
    non_finite_samples_ += zero_non_finite(samples);
    downmix(samples, channels_, mono.first(frames));
    return frames;
  }

  std::size_t read_frames(float* to, std::size_t frames) {
    if (ended_) return 0;
    const sf_count_t got = sf_readf_float(file_.get(), to, static_cast<sf_count_t>(frames));
    if (got == static_cast<sf_count_t>(frames)) return frames;
    ended_ = true;  // the next call would clear the error
    if (sf_error(file_.get()) != SF_ERR_NO_ERROR) failure_ = words_of(file_.get());
    return static_cast<std::size_t>(std::max<sf_count_t>(got, 0));
  }

  Descriptor descriptor_;
  std::unique_ptr<SNDFILE, SndfileCloser> file_;
  std::vector<float> interleaved_;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<RecordingReader> open_with_sndfile(const std::filesystem::path& path, std::string& words) {
  auto reader = std::make_unique<SndfileReader>(path);
  if (!reader->open(words)) return nullptr;
  return reader;
}

}  // namespace whimbrel::audio
