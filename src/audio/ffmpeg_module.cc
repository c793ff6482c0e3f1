extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

#include <fmt/format.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include "audio/ffmpeg_module.h"
#include "whimbrel/core.h"

namespace whimbrel::audio {
namespace {

// Containers of audio (and video) data. Everything else that FFmpeg knows stays out: playlists and scripts name other files.
constexpr const char* kContainers = "aac,ac3,aiff,amr,ape,asf,au,caf,eac3,flac,matroska,mov,mp3,ogg,tta,voc,w64,wav,wv";

constexpr std::int64_t kLatest = std::int64_t{1} << 60;  // of a time stamp in frames: sums of two do not overflow

struct FormatCloser {
  void operator()(AVFormatContext* p) const { avformat_close_input(&p); }
};
struct CodecFreer {
  void operator()(AVCodecContext* p) const { avcodec_free_context(&p); }
};
struct PacketFreer {
  void operator()(AVPacket* p) const { av_packet_free(&p); }
};
struct FrameFreer {
  void operator()(AVFrame* p) const { av_frame_free(&p); }
};

/// The last error that FFmpeg logged on this thread: it says "moov atom not found" where the code says "Invalid data".
std::string& last_logged() {
  thread_local std::string words;
  return words;
}

void keep_log_line(void*, int level, const char* format, va_list arguments) {
  if (level > AV_LOG_ERROR) return;
  char line[256];
  std::vsnprintf(line, sizeof line, format, arguments);
  last_logged() = line;
}

std::string words_of(int code) {
  char words[AV_ERROR_MAX_STRING_SIZE] = "";
  av_strerror(code, words, sizeof words);
  std::string logged = std::exchange(last_logged(), "");
  std::erase_if(logged, [](unsigned char c) { return c < ' '; });
  while (logged.ends_with('.') || logged.ends_with(' ')) logged.pop_back();
  // The rest of that line is kContainers.
  if (logged.starts_with("Format not on whitelist")) return "a playlist, or another format that holds no sound itself";
  return logged.empty() ? words : fmt::format("{} ({})", words, logged);
}

/// A frame's samples as interleaved float32 in [-1, 1): (sample - zero) * scale.
template <typename T>
void interleave(const AVFrame& frame, bool planar, T zero, double scale, std::vector<float>& out) {
  const auto channels = static_cast<std::size_t>(frame.ch_layout.nb_channels);
  const auto frames = static_cast<std::size_t>(frame.nb_samples);
  out.resize(channels * frames);
  const std::size_t planes = planar ? channels : 1;
  const std::size_t length = planar ? frames : frames * channels;
  for (std::size_t p = 0; p < planes; ++p) {
    const T* from = reinterpret_cast<const T*>(frame.extended_data[p]);
    for (std::size_t i = 0; i < length; ++i) {
      out[i * planes + p] = static_cast<float>((static_cast<double>(from[i]) - static_cast<double>(zero)) * scale);
    }
  }
}

/// False for a sample format that is not known here.
bool convert(const AVFrame& frame, std::vector<float>& out) {
  const auto format = static_cast<AVSampleFormat>(frame.format);
  const bool planar = av_sample_fmt_is_planar(format) != 0;
  switch (av_get_packed_sample_fmt(format)) {
    case AV_SAMPLE_FMT_U8:
      interleave<std::uint8_t>(frame, planar, 128, 0x1p-7, out);
      return true;
    case AV_SAMPLE_FMT_S16:
      interleave<std::int16_t>(frame, planar, 0, 0x1p-15, out);
      return true;
    case AV_SAMPLE_FMT_S32:
      interleave<std::int32_t>(frame, planar, 0, 0x1p-31, out);
      return true;
    case AV_SAMPLE_FMT_S64:
      interleave<std::int64_t>(frame, planar, 0, 0x1p-63, out);
      return true;
    case AV_SAMPLE_FMT_FLT:
      interleave<float>(frame, planar, 0, 1, out);
      return true;
    case AV_SAMPLE_FMT_DBL:
      interleave<double>(frame, planar, 0, 1, out);
      return true;
    default:
      return false;
  }
}

/// A packet that does not decode is read as silence of its length, so that the times of what follows stay right; at the end of
/// the file such packets are dropped (tags and padding behind the sound).
class FfmpegReader final : public Decoder {
 public:
  explicit FfmpegReader(const std::filesystem::path& path) : Decoder(path) {}

  bool open(std::string& words) {
    // FFmpeg logs to stderr unless told otherwise.
    static std::once_flag once;
    std::call_once(once, [] { av_log_set_callback(keep_log_line); });
    last_logged().clear();
    if (!open_container(words) || !open_codec(words)) return false;
    // The rate that counts is that of the first frame: HE-AAC's header says half of it.
    if (!advance()) {
      words = failure_.empty() ? "no samples" : failure_;
      return false;
    }
    const AVStream& stream = *format_->streams[stream_];
    const bool guessed = format_->duration_estimation_method == AVFMT_DURATION_FROM_BITRATE;
    if (!guessed && stream.duration != AV_NOPTS_VALUE && stream.duration > 0) {
      declared_frames_ = av_rescale_q(stream.duration, stream.time_base, AVRational{1, sample_rate_hz_});
    }
    return true;
  }

 private:
  bool open_container(std::string& words) {
    AVDictionary* options = nullptr;
    av_dict_set(&options, "protocol_whitelist", "file", 0);
    av_dict_set(&options, "format_whitelist", kContainers, 0);
    AVFormatContext* format = nullptr;
    // With the protocol spelt out, a name such as "concat:a|b" or "-" is only a name.
    int code = avformat_open_input(&format, ("file:" + path().string()).c_str(), nullptr, &options);
    av_dict_free(&options);
    format_.reset(format);
    if (code >= 0) code = avformat_find_stream_info(format, nullptr);
    if (code < 0) words = words_of(code);
    return code >= 0;
  }

  bool open_codec(std::string& words) {
    const AVCodec* codec = nullptr;
    stream_ = av_find_best_stream(format_.get(), AVMEDIA_TYPE_AUDIO, -1, -1, &codec, 0);
    if (stream_ < 0 || codec == nullptr) {
      words = stream_ == AVERROR_DECODER_NOT_FOUND ? "no decoder for its audio" : "no audio stream";
      return false;
    }
    for (unsigned i = 0; i < format_->nb_streams; ++i) {
      if (static_cast<int>(i) != stream_) format_->streams[i]->discard = AVDISCARD_ALL;
    }
    codec_context_.reset(avcodec_alloc_context3(codec));
    packet_.reset(av_packet_alloc());
    frame_.reset(av_frame_alloc());
    if (!codec_context_ || !packet_ || !frame_) throw std::bad_alloc();
    int code = avcodec_parameters_to_context(codec_context_.get(), format_->streams[stream_]->codecpar);
    codec_context_->thread_count = 1;
    // A damaged frame of FLAC would otherwise be noise.
    if (codec->id == AV_CODEC_ID_FLAC) codec_context_->err_recognition |= AV_EF_CRCCHECK | AV_EF_EXPLODE;
    codec_context_->pkt_timebase = format_->streams[stream_]->time_base;
    if (code >= 0) code = avcodec_open2(codec_context_.get(), codec, nullptr);
    if (code < 0) {
      words = fmt::format("{}: {}", codec->name, words_of(code));
      return false;
    }
    codec_ = fmt::format("FFmpeg/{}", codec->name);
    vorbis_ = codec->id == AV_CODEC_ID_VORBIS;
    flac_ = codec->id == AV_CODEC_ID_FLAC;
    return true;
  }

  std::size_t decode(std::span<float> mono) override {
    std::size_t done = 0;
    while (done < mono.size()) {
      std::size_t count = 0;
      if (silence_ > 0) {
        count = std::min(mono.size() - done, static_cast<std::size_t>(silence_));
        std::ranges::fill(mono.subspan(done, count), 0.0f);
        silence_ -= static_cast<std::int64_t>(count);
      } else if (taken_ < ready_.size()) {
        count = std::min(mono.size() - done, ready_.size() - taken_);
        std::copy_n(ready_.begin() + static_cast<std::ptrdiff_t>(taken_), count,
                    mono.begin() + static_cast<std::ptrdiff_t>(done));
        taken_ += count;
      } else if (!advance()) {
        break;
      }
      done += count;
    }
    return done;
  }

  /// Decodes the next frame into ready_; false at the end, after which failure_ may say why.
  bool advance() {
    while (!ended_) {
      const int code = avcodec_receive_frame(codec_context_.get(), frame_.get());
      if (code == 0) {
        if (take_frame()) return true;
      } else if (code == AVERROR(EAGAIN)) {
        send_packet();
      } else if (code == AVERROR_EOF) {
        end("");
      }  // else a damaged packet, now behind us
    }
    return false;
  }

  void send_packet() {
    last_logged().clear();
    const int code = av_read_frame(format_.get(), packet_.get());
    if (code < 0) {
      // Demuxers call what they could not read the end of the file; what reads for them knows better.
      const int reading = format_->pb != nullptr ? format_->pb->error : 0;
      if (reading < 0 && reading != AVERROR_EOF) {
        failure_ = words_of(reading);
      } else if (code != AVERROR_EOF) {
        failure_ = words_of(code);
      }
      avcodec_send_packet(codec_context_.get(), nullptr);
      return;
    }
    // A packet that is refused is damaged: the next frame's time stamp tells how much sound is lost.
    if (packet_->stream_index == stream_) avcodec_send_packet(codec_context_.get(), packet_.get());
    av_packet_unref(packet_.get());
  }

  /// False where the frame is empty or the recording cannot go on.
  bool take_frame() {
    if (frame_->nb_samples < 1) return false;
    if (sample_rate_hz_ == 0) {
      sample_rate_hz_ = frame_->sample_rate;
      channels_ = frame_->ch_layout.nb_channels;
    }
    if (frame_->sample_rate != sample_rate_hz_) {
      end(fmt::format("the sample rate changes from {} to {} Hz", sample_rate_hz_, frame_->sample_rate));
      return false;
    }
    if (!convert(*frame_, interleaved_)) {
      end(fmt::format("samples of FFmpeg's type {}", frame_->format));
      return false;
    }
    non_finite_samples_ += zero_non_finite(interleaved_);
    ready_.resize(static_cast<std::size_t>(frame_->nb_samples));
    taken_ = 0;
    downmix(interleaved_, frame_->ch_layout.nb_channels, ready_);
    silence_ = gap_before(*frame_);
    if (silence_given_ == 0) first_silence_ = position_;
    silence_given_ += silence_;
    position_ += silence_ + frame_->nb_samples;
    return true;
  }

  /// Frames missing between what was decoded before and this frame.
  std::int64_t gap_before(const AVFrame& frame) {
    if (frame.pts == AV_NOPTS_VALUE) return 0;
    const std::int64_t time = av_rescale_q(frame.pts, format_->streams[stream_]->time_base, AVRational{1, sample_rate_hz_});
    if (time < -kLatest || time > kLatest) return 0;
    // The frames of a whole FLAC file are counted from 0: what is missing before the first good one is a loss too.
    const bool from_0 = flac_ && format_->streams[stream_]->duration > 0;
    const std::int64_t origin = origin_.value_or(from_0 ? 0 : time - position_);
    origin_ = origin;
    const std::int64_t gap = time - origin - position_;
    // Stamps in whole milliseconds jitter, chained streams start again at 0, and a minute's jump is a broken stamp.
    // Vorbis stamps are off by up to half a long block (4096 frames) where block sizes change, and right again a frame later.
    const int jitter = std::max({frame.nb_samples / 2, sample_rate_hz_ / 100, vorbis_ ? 4096 : 0});
    const std::int64_t second = sample_rate_hz_;
    if (gap < -second || gap > 60 * second) {
      origin_ = time - position_;
      return 0;
    }
    return gap > jitter ? gap : 0;
  }

  void end(const std::string& failure) {
    ended_ = true;
    if (!failure.empty()) failure_ = failure;
    if (silence_given_ == 0) return;
    const double rate = sample_rate_hz_;
    damage_ = fmt::format("damaged at {:.1f} s; {:.2f} s that could not be decoded were read as silence",
                          static_cast<double>(first_silence_) / rate, static_cast<double>(silence_given_) / rate);
  }

  std::unique_ptr<AVFormatContext, FormatCloser> format_;
  std::unique_ptr<AVCodecContext, CodecFreer> codec_context_;
  std::unique_ptr<AVPacket, PacketFreer> packet_;
  std::unique_ptr<AVFrame, FrameFreer> frame_;
  int stream_ = -1;
  bool vorbis_ = false;
  bool flac_ = false;
  std::vector<float> interleaved_;
  std::vector<float> ready_;            // the current frame, mono
  std::size_t taken_ = 0;               // of ready_
  std::int64_t silence_ = 0;            // frames still to give before ready_
  std::int64_t silence_given_ = 0;      // in all
  std::int64_t first_silence_ = 0;      // frames before the first of it
  std::int64_t position_ = 0;           // frames up to the end of ready_
  std::optional<std::int64_t> origin_;  // time stamp of position 0, in frames
  bool ended_ = false;
};

std::unique_ptr<RecordingReader> open(const std::filesystem::path& path, std::string& words) {
  auto reader = std::make_unique<FfmpegReader>(path);
  if (!reader->open(words)) return nullptr;
  return reader;
}

}  // namespace
}  // namespace whimbrel::audio

extern "C" __attribute__((visibility("default"))) whimbrel::audio::OpenWithFfmpeg whimbrel_ffmpeg_module(
    const char* program_version, whimbrel::audio::LogOfProgram log_of_program) {
  if (std::string_view(program_version) != WHIMBREL_VERSION) return nullptr;
  whimbrel::set_log_sink(log_of_program);
  return &whimbrel::audio::open;
}
