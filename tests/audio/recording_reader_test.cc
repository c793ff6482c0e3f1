#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sndfile.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "audio/synthesis.h"

namespace whimbrel::audio_test {
namespace {

struct Format {
  const char* codec;
  int format;
  double tolerance;  // of a sample
};

void PrintTo(const Format& format, std::ostream* out) { *out << format.codec; }

class RecordingReaderFormat : public testing::TestWithParam<Format> {};

TEST_P(RecordingReaderFormat, DecodesWithinTheQuantizationStep) {
  const TempFolder folder;
  const std::vector<float> expected = noise(10006);  // even: AIFF counts its padding byte
  write_audio(folder / "a", GetParam().format, 22050, 1, expected);
  const Decoded got = decode(folder / "a", 1000);
  EXPECT_EQ(got.codec, GetParam().codec);
  EXPECT_EQ(got.rate_hz, 22050);
  EXPECT_EQ(got.channels, 1);
  EXPECT_EQ(got.error, "");
  ASSERT_EQ(got.samples.size(), expected.size());
  for (std::size_t n = 0; n < expected.size(); ++n) ASSERT_NEAR(got.samples[n], expected[n], GetParam().tolerance) << n;
}

// One step of the sample format; integers of 32 bits keep float32's 24; mu-law and A-law have 16 steps in the upper half.
INSTANTIATE_TEST_SUITE_P(Lossless, RecordingReaderFormat,
                         testing::Values(Format{"WAV/PCM_U8", SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 0x1p-7},
                                         Format{"WAV/PCM_16", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 0x1p-15},
                                         Format{"WAV/PCM_24", SF_FORMAT_WAV | SF_FORMAT_PCM_24, 0x1p-23},
                                         Format{"WAV/PCM_32", SF_FORMAT_WAV | SF_FORMAT_PCM_32, 0x1p-24},
                                         Format{"WAV/FLOAT", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 0},
                                         Format{"WAV/DOUBLE", SF_FORMAT_WAV | SF_FORMAT_DOUBLE, 0},
                                         Format{"WAV/ULAW", SF_FORMAT_WAV | SF_FORMAT_ULAW, 0x1p-5},
                                         Format{"WAV/ALAW", SF_FORMAT_WAV | SF_FORMAT_ALAW, 0x1p-5},
                                         Format{"WAVEX/PCM_16", SF_FORMAT_WAVEX | SF_FORMAT_PCM_16, 0x1p-15},
                                         Format{"WAVEX/PCM_24", SF_FORMAT_WAVEX | SF_FORMAT_PCM_24, 0x1p-23},
                                         Format{"WAVEX/FLOAT", SF_FORMAT_WAVEX | SF_FORMAT_FLOAT, 0},
                                         Format{"RF64/PCM_16", SF_FORMAT_RF64 | SF_FORMAT_PCM_16, 0x1p-15},
                                         Format{"RF64/PCM_24", SF_FORMAT_RF64 | SF_FORMAT_PCM_24, 0x1p-23},
                                         Format{"W64/PCM_16", SF_FORMAT_W64 | SF_FORMAT_PCM_16, 0x1p-15},
                                         Format{"AIFF/PCM_S8", SF_FORMAT_AIFF | SF_FORMAT_PCM_S8, 0x1p-7},
                                         Format{"AIFF/PCM_16", SF_FORMAT_AIFF | SF_FORMAT_PCM_16, 0x1p-15},
                                         Format{"CAF/FLOAT", SF_FORMAT_CAF | SF_FORMAT_FLOAT, 0},
                                         Format{"AU/PCM_16", SF_FORMAT_AU | SF_FORMAT_PCM_16, 0x1p-15},
                                         Format{"FLAC/PCM_S8", SF_FORMAT_FLAC | SF_FORMAT_PCM_S8, 0x1p-7},
                                         Format{"FLAC/PCM_16", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 0x1p-15},
                                         Format{"FLAC/PCM_24", SF_FORMAT_FLAC | SF_FORMAT_PCM_24, 0x1p-23}));

struct Lossy {
  const char* codec;
  int format;          // libsndfile's, or 0
  const char* name;    // of the file
  const char* encode;  // options of the ffmpeg command where libsndfile cannot write it
  double snr_db;
  std::ptrdiff_t lost = 0;  // frames that the encoder drops at the start
};

void PrintTo(const Lossy& lossy, std::ostream* out) { *out << lossy.codec; }

class RecordingReaderLossy : public testing::TestWithParam<Lossy> {};

TEST_P(RecordingReaderLossy, KeepsEverySampleInItsPlace) {
  const TempFolder folder;
  const std::vector<float> expected = sweep(48000, 48000 * 4);
  const std::filesystem::path path = folder / GetParam().name;
  if (GetParam().format != 0) {
    write_audio(path, GetParam().format, 48000, 1, expected);
  } else {
    write_audio(folder / "a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 48000, 1, expected);
    if (!ffmpeg(folder / "a.wav", GetParam().encode, path)) GTEST_SKIP() << "no ffmpeg command with this encoder";
  }
  const Decoded got = decode(path, 1000);
  EXPECT_EQ(got.codec, GetParam().codec);
  EXPECT_EQ(got.rate_hz, 48000);
  EXPECT_EQ(got.error, "");
  // Encoders pad the end to a whole block of theirs: WMA's, the longest, holds 2048.
  EXPECT_NEAR(static_cast<double>(got.samples.size()), static_cast<double>(expected.size()), 2048);
  ASSERT_GT(got.samples.size(), 180000u);
  // A shift by one sample alone would leave less than 10 dB at the upper end of the sweep.
  EXPECT_GT(snr_db(std::span(expected).subspan(static_cast<std::size_t>(GetParam().lost)), got.samples, 4800, 180000),
            GetParam().snr_db);
}

INSTANTIATE_TEST_SUITE_P(Lossy, RecordingReaderLossy,
                         testing::Values(Lossy{"FFmpeg/vorbis", SF_FORMAT_OGG | SF_FORMAT_VORBIS, "a.ogg", "", 15},
                                         Lossy{"FFmpeg/mp3float", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, "a.mp3", "", 15},
                                         Lossy{"FFmpeg/opus", SF_FORMAT_OGG | SF_FORMAT_OPUS, "a.opus", "", 15},
                                         Lossy{"FFmpeg/aac", 0, "a.m4a", "-c:a aac -b:a 128k", 15},
                                         Lossy{"FFmpeg/alac", 0, "alac.m4a", "-c:a alac", 80},
                                         Lossy{"FFmpeg/wmav2", 0, "a.wma", "-c:a wmav2 -b:a 192k", 15, 2048},
                                         Lossy{"FFmpeg/wavpack", 0, "a.wv", "-c:a wavpack", 80},
                                         Lossy{"FFmpeg/flac", 0, "a.mka", "-c:a flac", 80},
                                         Lossy{"FFmpeg/tta", 0, "a.tta", "-c:a tta", 80}));

TEST(RecordingReader, ReadsVorbisAsLibsndfileDoesWhereBlockSizesChange) {
  // Clicks in near silence make the encoder change between long and short blocks; FFmpeg's time stamps are off there.
  const TempFolder folder;
  std::vector<float> clicks = noise(32000 * 4);
  for (std::size_t n = 0; n < clicks.size(); ++n) clicks[n] *= n % 5000 < 60 ? 1.0F : 0.001F;
  write_audio(folder / "a.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 32000, 1, clicks);
  const Decoded got = decode(folder / "a.ogg");

  SF_INFO info{};
  SNDFILE* file = sf_open((folder / "a.ogg").c_str(), SFM_READ, &info);
  ASSERT_NE(file, nullptr);
  std::vector<float> expected(static_cast<std::size_t>(info.frames));
  ASSERT_EQ(sf_readf_float(file, expected.data(), info.frames), info.frames);
  sf_close(file);
  ASSERT_EQ(got.samples.size(), expected.size());
  for (std::size_t n = 0; n < expected.size(); ++n)
    ASSERT_NEAR(got.samples[n], expected[n], 1e-6) << n;  // two decoders' rounding
}

TEST(RecordingReader, TakesTheMeanOfTheChannels) {
  const TempFolder folder;
  for (const int channels : {2, 5, 1024}) {
    const std::vector<float> samples = noise(3001 * static_cast<std::size_t>(channels));
    write_audio(folder / "a.wav", SF_FORMAT_WAVEX | SF_FORMAT_FLOAT, 8000, channels, samples);
    const Decoded got = decode(folder / "a.wav", 777);
    EXPECT_EQ(got.channels, channels);
    ASSERT_EQ(got.samples.size(), 3001u);
    for (std::size_t n = 0; n < got.samples.size(); ++n) {
      const auto frame = samples.begin() + static_cast<std::ptrdiff_t>(n) * channels;
      // Each of the float32 additions rounds once, by at most half a unit of a partial sum below 1024.
      ASSERT_NEAR(got.samples[n], std::accumulate(frame, frame + channels, 0.0) / channels, channels * 0x1p-24) << n;
    }
  }
}

TEST(RecordingReader, TakesTheMeanOfTheChannelsOfFfmpegToo) {
  const TempFolder folder;
  const std::vector<float> samples = noise(2 * 48000);
  write_audio(folder / "a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 48000, 2, samples);
  if (!ffmpeg(folder / "a.wav", "-c:a alac", folder / "a.m4a")) GTEST_SKIP() << "no ffmpeg command";
  EXPECT_EQ(decode(folder / "a.m4a").samples, decode(folder / "a.wav").samples);
}

TEST(RecordingReader, GivesTheSameSamplesForEveryBlockSize) {
  const TempFolder folder;
  write_audio(folder / "a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 48000, 2, noise(100002));
  write_audio(folder / "a.opus", SF_FORMAT_OGG | SF_FORMAT_OPUS, 48000, 2, noise(100002));
  for (const char* name : {"a.flac", "a.opus"}) {
    const Decoded whole = decode(folder / name, 1 << 20);
    EXPECT_EQ(whole.samples.size(), 50001u);
    for (const std::size_t block : {1u, 7u, 960u, 32768u}) EXPECT_EQ(decode(folder / name, block).samples, whole.samples);
  }
}

TEST(RecordingReader, ReadsWhatIsNotANumberAsZeroAndCountsIt) {
  const TempFolder folder;
  std::vector<float> samples(20000, 0.25f);
  samples[0] = std::numeric_limits<float>::quiet_NaN();
  samples[7] = std::numeric_limits<float>::infinity();
  samples[8] = -std::numeric_limits<float>::infinity();
  samples[19999] = -0x1p40f;  // the first magnitude that counts as absurd
  samples[9] = 0x1.fffffep39f;
  write_audio(folder / "mono.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 8000, 1, samples);
  const Decoded mono = decode(folder / "mono.wav");
  EXPECT_EQ(mono.non_finite, 4);
  for (const std::size_t n : {0u, 7u, 8u, 19999u}) EXPECT_EQ(mono.samples[n], 0.0f) << n;
  EXPECT_EQ(mono.samples[9], 0x1.fffffep39f);
  EXPECT_EQ(mono.samples[1], 0.25f);

  write_audio(folder / "stereo.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 8000, 2, samples);
  const Decoded stereo = decode(folder / "stereo.wav");
  EXPECT_EQ(stereo.non_finite, 4);
  EXPECT_EQ(stereo.samples[0], 0.125f);  // the other channel stays
}

TEST(RecordingReader, SaysHowManyFramesTheHeaderClaims) {
  const TempFolder folder;
  write_audio(folder / "a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, noise(12345));
  EXPECT_EQ(RecordingReader::open(folder / "a.flac")->declared_frames(), 12345);
}

TEST(RecordingReader, GoesByTheContentNotTheName) {
  const TempFolder folder;
  write_audio(folder / "really_mp3.wav", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 44100, 1, tone(440, 44100, 44100));
  const Decoded got = decode(folder / "really_mp3.wav");
  EXPECT_EQ(got.codec, "FFmpeg/mp3float");
  EXPECT_EQ(got.samples.size(), 44100u);
}

TEST(RecordingReader, TakesEveryByteInAName) {
  const TempFolder folder;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder / "");
  const std::vector<float> samples = tone(440, 44100, 20000);
  // Names that FFmpeg or libsndfile would read as a protocol or as standard input, and bytes that are not UTF-8.
  for (const char* name : {"concat:a|b.mp3", "http:x", "-", "\xff\xfe'\"%d\n.wav", "\xc3\xa9 \xe9.opus"}) {
    for (const int format : {SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, SF_FORMAT_WAV | SF_FORMAT_PCM_16}) {
      write_audio(folder / name, format, 44100, 1, samples);
      EXPECT_EQ(decode(name).samples.size(), samples.size()) << name;
    }
  }
  std::filesystem::current_path(before);
}

TEST(RecordingReader, DecodesRealRecordings) {
  if (shared_data().empty()) GTEST_SKIP() << "no shared recordings: set WHIMBREL_SHARED";
  std::int64_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(shared_data() / "recordings")) {
    const Decoded got = decode(entry.path());
    EXPECT_EQ(got.error, "");
    EXPECT_EQ(got.non_finite, 0);
    EXPECT_GT(got.samples.size(), static_cast<std::size_t>(5 * got.rate_hz)) << entry.path();
    ++count;
  }
  EXPECT_GE(count, 12);
}

TEST(RecordingReader, AgreesOverThreeFormatsOfOneRecording) {
  if (shared_data().empty()) GTEST_SKIP() << "no shared recordings: set WHIMBREL_SHARED";
  const auto path = [](const char* ending) { return shared_data() / "recordings" / (std::string("21100_36_48.") + ending); };
  const Decoded wav = decode(path("wav"));
  const Decoded flac = decode(path("flac"));
  const Decoded mp3 = decode(path("mp3"));
  ASSERT_EQ(wav.samples.size(), 160000u);
  ASSERT_EQ(flac.samples.size(), 160000u);
  ASSERT_EQ(mp3.samples.size(), 160000u);
  for (std::size_t n = 0; n < wav.samples.size(); ++n) ASSERT_NEAR(flac.samples[n], wav.samples[n], 0x1p-23) << n;
  EXPECT_GT(snr_db(wav.samples, mp3.samples, 0, 160000), 10) << "an MP3 of 24 kbit/s that lies one sample off is far below";
}

}  // namespace
}  // namespace whimbrel::audio_test
