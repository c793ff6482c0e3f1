#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sndfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "audio/synthesis.h"

namespace whimbrel::audio_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string refusal(const std::filesystem::path& path, ErrorCode code = ErrorCode::bad_recording) {
  const std::string message = message_of(code, [&] { RecordingReader::open(path); });
  EXPECT_THAT(message, StartsWith(path.string() + ": "));
  EXPECT_EQ(std::ranges::count(message, '\n'), 0) << message;
  return message;
}

TEST(BadRecording, SaysWhatIsNotAFile) {
  const TempFolder folder;
  EXPECT_THAT(refusal(folder / "none.wav", ErrorCode::not_found), HasSubstr("no such file"));
  EXPECT_THAT(refusal(folder / ""), HasSubstr("is a folder"));
  ASSERT_EQ(::mkfifo((folder / "pipe.wav").c_str(), 0600), 0);
  EXPECT_THAT(refusal(folder / "pipe.wav"), HasSubstr("not a regular file"));
  write_bytes(folder / "file", "x");
  EXPECT_THAT(refusal(folder / "file/a.wav", ErrorCode::not_found), HasSubstr("no such file"));
}

TEST(BadRecording, SaysThatAFileMayNotBeRead) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const TempFolder folder;
  write_bytes(folder / "a.wav", wav_bytes(8000, 1, 4, "abcd"));
  std::filesystem::permissions(folder / "a.wav", std::filesystem::perms::none);
  EXPECT_THAT(refusal(folder / "a.wav"), HasSubstr("Permission denied"));
}

TEST(BadRecording, SaysWhatIsNotAudio) {
  const TempFolder folder;
  write_bytes(folder / "empty.wav", "");
  EXPECT_THAT(refusal(folder / "empty.wav"), HasSubstr("is empty (0 bytes)"));
  write_bytes(folder / "text.wav", "this is not audio\n");
  EXPECT_THAT(refusal(folder / "text.wav"),
              AllOf(HasSubstr("libsndfile: "), HasSubstr("FFmpeg: "), HasSubstr("expected wav, flac")));
  write_bytes(folder / "one_byte.mp3", "\xff");
  refusal(folder / "one_byte.mp3");
  write_bytes(folder / "tag.mp3", "ID3\x04" + std::string(100, '\0'));
  EXPECT_THAT(refusal(folder / "tag.mp3"), HasSubstr("FFmpeg: "));
}

TEST(BadRecording, RefusesPlaylistsThatNameOtherFiles) {
  const TempFolder folder;
  write_audio(folder / "a.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 44100, 1, tone(440, 44100, 44100));
  write_bytes(folder / "list.m4a", "ffconcat version 1.0\nfile a.mp3\n");
  refusal(folder / "list.m4a");
  write_bytes(folder / "list.mp3", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\na.mp3\n#EXT-X-ENDLIST\n");
  refusal(folder / "list.mp3");
}

TEST(BadRecording, RefusesHeadersOutOfRange) {
  const TempFolder folder;
  const std::string data(8200, 'x');
  const auto wav = [&](std::uint32_t rate_hz, std::uint16_t channels) {
    write_bytes(folder / "a.wav", wav_bytes(rate_hz, channels, static_cast<std::uint32_t>(data.size()), data));
    return folder / "a.wav";
  };
  EXPECT_THAT(refusal(wav(1, 1)), HasSubstr("sample rate of 1 Hz, expected 100..1000000"));
  EXPECT_THAT(refusal(wav(99, 1)), HasSubstr("expected 100..1000000"));
  EXPECT_THAT(refusal(wav(10'000'000, 1)), HasSubstr("sample rate of 10000000 Hz, expected 100..1000000"));
  refusal(wav(0, 1));
  refusal(wav(8000, 0));
  EXPECT_THAT(refusal(wav(8000, 1025)), HasSubstr("hannel"));
  EXPECT_EQ(RecordingReader::open(wav(100, 1))->sample_rate_hz(), 100);
  EXPECT_EQ(RecordingReader::open(wav(1'000'000, 1))->sample_rate_hz(), 1'000'000);
  EXPECT_EQ(RecordingReader::open(wav(8000, 1024))->channels(), 1024);
}

TEST(BadRecording, SaysThatAHeaderHasNoSamplesBehindIt) {
  const TempFolder folder;
  write_bytes(folder / "a.wav", wav_bytes(44100, 2, 116, "\x01"));
  EXPECT_THAT(refusal(folder / "a.wav"), AllOf(HasSubstr("no samples"), HasSubstr("claims 116 bytes and has 1")));
  write_audio(folder / "b.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 44100, 1, {});
  EXPECT_THAT(refusal(folder / "b.wav"), HasSubstr("no samples"));
}

TEST(BadRecording, ReadsAWavThatWasNeverClosed) {
  const TempFolder folder;
  const std::vector<float> expected = noise(8000);
  write_audio(folder / "a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 8000, 1, expected);
  const std::string bytes = read_bytes(folder / "a.wav");
  const std::string data = bytes.substr(bytes.size() - 16000);
  // What is in the size field until a recorder (0), a pipe (all ones) or arecord (2 GB) knows better.
  for (const std::uint32_t claim : {0u, 0xffffffffu, 0x80000000u}) {
    write_bytes(folder / "open.wav", wav_bytes(8000, 1, claim, data));
    const Decoded got = decode(folder / "open.wav");
    EXPECT_EQ(got.samples, decode(folder / "a.wav").samples) << claim;
    EXPECT_EQ(got.error, "");
  }
}

TEST(BadRecording, GivesWhatIsThereOfATruncatedWav) {
  const TempFolder folder;
  write_bytes(folder / "a.wav", wav_bytes(8000, 1, 160000, std::string(40000, '\x10')));
  const Decoded got = decode(folder / "a.wav");
  EXPECT_EQ(got.samples.size(), 20000u);
  EXPECT_THAT(got.error, HasSubstr("decoding stopped at 2.5 s of 10.0 s: the file ends before its header says"));
}

TEST(BadRecording, GivesWhatIsThereOfATruncatedFlac) {
  const TempFolder folder;
  const std::vector<float> samples = noise(10 * 16000);
  write_audio(folder / "whole.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, samples);
  const std::string bytes = read_bytes(folder / "whole.flac");
  write_bytes(folder / "half.flac", bytes.substr(0, bytes.size() / 2));
  const Decoded whole = decode(folder / "whole.flac");
  const Decoded half = decode(folder / "half.flac");
  EXPECT_EQ(whole.error, "");
  EXPECT_THAT(half.error, AllOf(HasSubstr("decoding stopped at 4."), HasSubstr(" s of 10.0 s: ")));
  ASSERT_GT(half.samples.size(), 4u * 16000);
  EXPECT_TRUE(std::equal(half.samples.begin(), half.samples.end(), whole.samples.begin()));
}

TEST(BadRecording, GivesWhatIsThereOfTruncatedAiffAuW64AndRf64) {
  const TempFolder folder;
  for (const int format : {SF_FORMAT_AIFF, SF_FORMAT_AU, SF_FORMAT_W64, SF_FORMAT_RF64}) {
    write_audio(folder / "whole", format | SF_FORMAT_PCM_16, 8000, 1, noise(10 * 8000));
    EXPECT_EQ(decode(folder / "whole").error, "");
    write_bytes(folder / "cut", read_bytes(folder / "whole").substr(0, 40000));
    const Decoded got = decode(folder / "cut");
    EXPECT_THAT(got.error, HasSubstr("decoding stopped at 2.5 s of 10.0 s: the file ends before its header says")) << format;
    EXPECT_GT(got.samples.size(), 19900u);
  }
}

/// A FLAC of ten seconds with some of its bytes overwritten, and what is decoded of it and of the whole.
struct HurtFlac {
  std::vector<float> whole;
  Decoded hurt;
  std::string logged;

  HurtFlac(const TempFolder& folder, double at, std::size_t bytes) {
    write_audio(folder / "whole.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, noise(10 * 16000));
    std::string data = read_bytes(folder / "whole.flac");
    const auto from = static_cast<std::size_t>(at * static_cast<double>(data.size()));
    data.replace(from, bytes, bytes, '\x5a');
    write_bytes(folder / "hurt.flac", data);
    whole = decode(folder / "whole.flac").samples;
    set_log_sink([this](LogLevel, std::string_view line) { logged = line; });
    hurt = decode(folder / "hurt.flac");
    set_log_sink({});
  }

  /// Samples that are not what they were; expects them to be silence and in one piece.
  std::ptrdiff_t lost() const {
    EXPECT_EQ(hurt.samples.size(), whole.size());
    const auto first = std::ranges::mismatch(hurt.samples, whole).in1 - hurt.samples.begin();
    const auto last =
        std::mismatch(hurt.samples.rbegin(), hurt.samples.rend(), whole.rbegin()).first.base() - hurt.samples.begin();
    if (hurt.samples == whole) return 0;
    EXPECT_TRUE(std::all_of(hurt.samples.begin() + first, hurt.samples.begin() + last, [](float x) { return x == 0; }));
    return last - first;
  }
};

TEST(BadRecording, GoesOnBehindADamagedFlacFrameWithSilenceInItsPlace) {
  const TempFolder folder;
  const HurtFlac middle(folder, 0.5, 50);
  EXPECT_THAT(middle.hurt.error, AllOf(HasSubstr("damaged at "), HasSubstr("was read as silence"), HasSubstr("FLAC/PCM_16")));
  EXPECT_GT(middle.lost(), 1000);
  EXPECT_LT(middle.lost(), 2 * 16000);  // a frame or two
  EXPECT_THAT(middle.logged, HasSubstr("could not be decoded were read as silence"));
}

TEST(BadRecording, KeepsTheTimeOfAFlacWhoseBeginningIsDamaged) {
  const TempFolder folder;
  const HurtFlac start(folder, 0.02, 50);
  EXPECT_THAT(start.hurt.error, HasSubstr("damaged at 0.0 s"));
  EXPECT_GT(start.lost(), 1000);
  EXPECT_LT(start.lost(), 2 * 16000);
}

TEST(BadRecording, SaysThatAFlacGoesOnAfterWhatItsHeaderSays) {
  const TempFolder folder;
  write_audio(folder / "a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, noise(10 * 16000));
  std::string data = read_bytes(folder / "a.flac");
  const auto total = static_cast<std::uint32_t>(4 * 16000);  // the last 32 of 36 bits of STREAMINFO's samples
  for (std::size_t i = 0; i < 4; ++i) data[22 + i] = static_cast<char>(total >> (24 - 8 * i) & 0xff);
  write_bytes(folder / "a.flac", data);
  const Decoded got = decode(folder / "a.flac");
  EXPECT_EQ(got.samples.size(), 4u * 16000);
  EXPECT_THAT(got.error, HasSubstr("decoding stopped at 4.0 s of 4.0 s: the file goes on for "));
}

TEST(BadRecording, GivesWhatIsThereOfATruncatedMp3) {
  const TempFolder folder;
  write_audio(folder / "whole.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 16000, 1, noise(10 * 16000));
  const std::string bytes = read_bytes(folder / "whole.mp3");
  write_bytes(folder / "half.mp3", bytes.substr(0, bytes.size() / 2));
  const Decoded half = decode(folder / "half.mp3");
  EXPECT_THAT(half.error, AllOf(HasSubstr("decoding stopped at "), HasSubstr(" s of 10.")));
  EXPECT_GT(half.samples.size(), 4u * 16000);
  EXPECT_LT(half.samples.size(), 6u * 16000);
}

TEST(BadRecording, ReadsALostPageAsSilenceAndKeepsTheTime) {
  const TempFolder folder;
  const std::vector<float> samples = sweep(48000, 48000 * 12);
  write_audio(folder / "whole.opus", SF_FORMAT_OGG | SF_FORMAT_OPUS, 48000, 1, samples);
  std::string bytes = read_bytes(folder / "whole.opus");
  // A byte of a page in the middle: its checksum no longer holds, and the demuxer drops the page (a second).
  const std::size_t page = bytes.find("OggS", bytes.size() / 2);
  ASSERT_NE(page, std::string::npos);
  bytes[page + 400] = static_cast<char>(bytes[page + 400] ^ 0x55);
  write_bytes(folder / "hurt.opus", bytes);

  const Decoded hurt = decode(folder / "hurt.opus");
  const Decoded whole = decode(folder / "whole.opus");
  EXPECT_THAT(hurt.error, AllOf(HasSubstr("damaged at 6."), HasSubstr("could not be decoded were read as silence")));
  ASSERT_EQ(hurt.samples.size(), whole.samples.size());
  EXPECT_LT(std::ranges::count(whole.samples, 0.0f), 4800);
  EXPECT_GT(std::ranges::count(hurt.samples, 0.0f), 24000);
  // Opus' predictors need a moment after a loss; two seconds on, the same sound lies at the same place.
  EXPECT_GT(snr_db(whole.samples, hurt.samples, 9 * 48000, 12 * 48000 - 960), 40);
}

TEST(BadRecording, SaysWhatIsWrongWithTheOddOnes) {
  if (shared_data().empty()) GTEST_SKIP() << "no shared recordings: set WHIMBREL_SHARED";
  const std::filesystem::path odd = shared_data() / "odd";
  for (const char* name :
       {"audiomoth_gps.wav", "metadata.wav", "short_no_metadata.wav", "silence_10s.mp3", "stereo.wav", "veryshort.wav"}) {
    EXPECT_EQ(decode(odd / name).error, "") << name;
  }
  EXPECT_EQ(decode(odd / "silence_10s.mp3").samples.size(), 441000u);
  EXPECT_THAT(refusal(odd / "empty.wav"), HasSubstr("is empty"));
  EXPECT_THAT(refusal(odd / "empty_2c.wav"), HasSubstr("claims 116 bytes and has 1"));
  EXPECT_THAT(refusal(odd / "text.wav"), HasSubstr("Format not recognised"));
  EXPECT_THAT(decode(odd / "truncated.flac").error, HasSubstr("decoding stopped at 54.1 s of 120.0 s: flac decoder lost sync"));
  EXPECT_THAT(decode(odd / "truncated.mp3").error, HasSubstr("decoding stopped at 25.0 s of 120.0 s: the file ends"));
}

/// MPEG audio as format 0x55 of a WAV (MPEGLAYER3WAVEFORMAT), 500 bytes of it overwritten.
std::string mp3_in_wav(std::string mp3, std::size_t hurt_at) {
  std::fill_n(mp3.begin() + static_cast<std::ptrdiff_t>(hurt_at), 500, '\x5a');
  std::string wav = wav_bytes(16000, 1, static_cast<std::uint32_t>(mp3.size()), mp3);
  wav[16] = 30;    // bytes of the format chunk
  wav[20] = 0x55;  // WAVE_FORMAT_MPEGLAYER3
  wav[32] = 1;     // block align
  wav[34] = 0;     // bits per sample
  return wav.insert(36, std::string("\x0c\0\x01\0\x02\0\0\0\x90\0\x01\0\0\0", 14));
}

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
}

TEST(BadRecording, LeavesNoDescriptorOpenAndPrintsNothing) {
  const TempFolder folder;
  write_bytes(folder / "text.wav", "this is not audio\n");
  write_bytes(folder / "lie.wav", wav_bytes(44100, 2, 116, "\x01"));
  write_bytes(folder / "rate.wav", wav_bytes(1, 1, 4, "abcd"));
  write_bytes(folder / "cut.wav", wav_bytes(8000, 1, 160000, std::string(40000, '\x10')));
  write_audio(folder / "a.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 16000, 1, noise(160000));
  const std::string mp3 = read_bytes(folder / "a.mp3");
  write_bytes(folder / "cut.mp3", mp3.substr(0, mp3.size() / 2));
  write_bytes(folder / "tail.mp3", mp3.substr(mp3.size() / 2 + 3));
  write_bytes(folder / "tag.mp3", "ID3\x04" + std::string(100, '\0'));
  write_bytes(folder / "mp3.wav", mp3_in_wav(mp3, 4000));  // libmpg123 would complain

  const std::ptrdiff_t before = open_descriptors();
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  for (const char* name :
       {"text.wav", "lie.wav", "rate.wav", "cut.wav", "a.mp3", "cut.mp3", "tail.mp3", "tag.mp3", "mp3.wav", "none.wav"}) {
    try {
      decode(folder / name);
    } catch (const Error&) {
    }
  }
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace whimbrel::audio_test
