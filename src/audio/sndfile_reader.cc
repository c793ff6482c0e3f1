#include <fmt/format.h>
#include <sndfile.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <system_error>
#include <utility>

#include "audio/decoder.h"
#include "audio/descriptor.h"
#include "audio/riff_data.h"
#include "whimbrel/core.h"

namespace whimbrel::audio {
namespace {

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

/// A RIFF file past 4 GB, shown to libsndfile as the RF64 file that it should have been.
struct LargeRiff {
  std::string header;
  std::int64_t data_begin = 0;
  std::int64_t data_bytes = 0;
  int fd = -1;
  sf_count_t at = 0;

  sf_count_t size() const { return static_cast<sf_count_t>(header.size()) + data_bytes; }

  sf_count_t read(char* to, sf_count_t count) {
    sf_count_t done = 0;
    while (done < count && at < size()) {
      const auto in_header = static_cast<sf_count_t>(header.size()) - at;
      sf_count_t n = std::min(count - done, size() - at);
      if (in_header > 0) {
        n = std::min(n, in_header);
        std::copy_n(header.begin() + at, n, to + done);
      } else {
        n = ::pread(fd, to + done, static_cast<std::size_t>(n), data_begin - in_header);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
      }
      at += n;
      done += n;
    }
    return done;
  }

  static LargeRiff& of(void* self) { return *static_cast<LargeRiff*>(self); }

  static sf_count_t seek(sf_count_t offset, int whence, void* self) {
    auto& file = of(self);
    const sf_count_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? file.at : file.size();
    return file.at = std::max<sf_count_t>(0, from + offset);
  }
};

SF_VIRTUAL_IO large_riff_io() {
  return {.get_filelen = [](void* self) { return LargeRiff::of(self).size(); },
          .seek = LargeRiff::seek,
          .read = [](void* to, sf_count_t n, void* self) { return LargeRiff::of(self).read(static_cast<char*>(to), n); },
          .write = [](const void*, sf_count_t, void*) -> sf_count_t { return 0; },
          .tell = [](void* self) { return LargeRiff::of(self).at; }};
}

class SndfileReader final : public Decoder {
 public:
  explicit SndfileReader(const std::filesystem::path& path) : Decoder(path), descriptor_(path) {}

  bool open(std::string& words) {
    if (descriptor_.fd < 0) {
      words = std::system_category().message(errno);
      return false;
    }
    const std::optional<RiffData> riff = find_riff_data(descriptor_.fd);
    SF_INFO info{};
    {
      // libsndfile keeps the reason of a failed open in a global.
      static std::mutex mutex;
      const std::scoped_lock lock(mutex);
      if (riff && riff->beyond_32_bits) {
        large_ = {
            .header = rf64_header(*riff), .data_begin = riff->begin, .data_bytes = riff->claimed_bytes, .fd = descriptor_.fd};
        SF_VIRTUAL_IO io = large_riff_io();
        file_.reset(sf_open_virtual(&io, SFM_READ, &info, &large_));
      } else {
        // libsndfile 1.0.30 to 1.2.0 closes the descriptor of a file that it refuses, whatever it is told: it has its own.
        const int own = ::fcntl(descriptor_.fd, F_DUPFD_CLOEXEC, 0);
        if (own < 0) {
          words = std::system_category().message(errno);
          return false;
        }
        file_.reset(sf_open_fd(own, SFM_READ, &info, SF_TRUE));
      }
      if (!file_) words = words_of(nullptr);
    }
    if (!file_) return false;
    if ((info.format & SF_FORMAT_SUBMASK) == SF_FORMAT_MPEG_LAYER_III) {
      words = "MPEG audio";  // libmpg123 would write warnings to stderr
      return false;
    }
    sample_rate_hz_ = info.samplerate;
    channels_ = info.channels;
    is_flac_ = (info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_FLAC;
    codec_ = major_name(info.format) + "/" + sample_format_name(info.format);
    // libsndfile reads what is there and says nothing.
    const bool cut = riff && riff->claimed_bytes > riff->present_bytes;
    if (info.frames <= 0) {
      words = fmt::format("no samples behind the {} header", codec_);
      if (cut) words += fmt::format(", which claims {} bytes and has {}", riff->claimed_bytes, riff->present_bytes);
      return false;
    }
    if (info.frames == SF_COUNT_MAX) return true;  // a stream of unknown length
    double claim = cut ? 1 : claimed_by_present(descriptor_.fd);
    if (cut && riff->present_bytes > 0) {
      claim = static_cast<double>(riff->claimed_bytes) / static_cast<double>(riff->present_bytes);
    }
    declared_frames_ = static_cast<std::int64_t>(std::min(static_cast<double>(info.frames) * claim, 0x1p60));
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
      const std::size_t frames = behind_damage_   ? read_behind_damage(rest)
                                 : channels_ == 1 ? read_mono(rest)
                                                  : read_mixed(rest);
      if (frames == 0 && !go_on_behind_damage(decoded_frames() + static_cast<std::int64_t>(done))) break;
      done += frames;
    }
    return done;
  }

  /// libsndfile gives a FLAC up at its first damaged frame. FFmpeg goes on behind it, with silence for what is lost.
  /// @param frames  before the damage. False where FFmpeg cannot either, and when it has done so.
  bool go_on_behind_damage(std::int64_t frames) {
    if (!std::exchange(damaged_, false)) return false;
    std::string words;
    behind_damage_ = open_with_ffmpeg(path(), words);
    if (behind_damage_ && behind_damage_->sample_rate_hz() != sample_rate_hz_) behind_damage_.reset();
    if (!behind_damage_) return false;
    std::vector<float> known(kBlockFrames);
    for (std::int64_t left = frames; left > 0;) {
      const auto wanted = std::min<std::int64_t>(std::ssize(known), left);
      const std::size_t n = ask_ffmpeg(std::span(known).first(static_cast<std::size_t>(wanted)));
      if (n == 0) return false;  // and none later
      left -= static_cast<std::int64_t>(n);
    }
    damaged_at_s_ = static_cast<double>(frames) / sample_rate_hz_;
    return true;
  }

  std::size_t ask_ffmpeg(std::span<float> mono) {
    try {
      return behind_damage_->read(mono);
    } catch (const Error& error) {  // how much was lost; read() says of the whole where
      log(LogLevel::warning, error.what());
      return 0;
    }
  }

  std::size_t read_behind_damage(std::span<float> mono) {
    const std::size_t frames = ask_ffmpeg(mono);
    if (frames > 0 && damage_.empty()) {
      damage_ = fmt::format("damaged at {:.1f} s ({}); behind it, what could not be decoded was read as silence", damaged_at_s_,
                            std::exchange(failure_, ""));
    }
    return frames;
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
    damaged_ = is_flac_ && !failure_.empty() && sf_error(file_.get()) != SF_ERR_SYSTEM;
    if (failure_.empty() && is_flac_) failure_ = words_of_rest();
    return static_cast<std::size_t>(std::max<sf_count_t>(got, 0));
  }

  /// libsndfile ends a FLAC where its header says; a header that was written before the recorder went on says too little.
  std::string words_of_rest() const {
    constexpr off_t kTags = 1 << 16;  // that may follow the sound, and what was read ahead
    const off_t at = ::lseek(descriptor_.fd, 0, SEEK_CUR);
    const off_t end = ::lseek(descriptor_.fd, 0, SEEK_END);
    if (at < 0 || end - at <= kTags) return "";
    return fmt::format("the file goes on for {} bytes after what its header says", end - at);
  }

  Descriptor descriptor_;
  LargeRiff large_;
  std::unique_ptr<SNDFILE, SndfileCloser> file_;
  std::vector<float> interleaved_;
  std::unique_ptr<RecordingReader> behind_damage_;
  double damaged_at_s_ = 0;
  bool damaged_ = false;
  bool is_flac_ = false;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<RecordingReader> open_with_sndfile(const std::filesystem::path& path, std::string& words) {
  auto reader = std::make_unique<SndfileReader>(path);
  if (!reader->open(words)) return nullptr;
  return reader;
}

}  // namespace whimbrel::audio
