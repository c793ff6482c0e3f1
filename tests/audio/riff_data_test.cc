#include "audio/riff_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "audio/descriptor.h"
#include "audio/synthesis.h"

namespace whimbrel::audio_test {
namespace {

constexpr std::int64_t kGiB = std::int64_t{1} << 30;
constexpr std::uint32_t kMost = 0xffffffff;

std::string le32(std::uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

/// RIFF of 16-bit mono at 8 kHz with these sizes in its header, and `data_bytes` of a sparse file behind it.
audio::RiffData found(std::uint32_t riff, std::uint32_t data, std::int64_t data_bytes) {
  const TempFolder folder;
  std::string head = wav_bytes(8000, 1, data, "");
  head.replace(4, 4, le32(riff));
  write_bytes(folder / "a.wav", head);
  std::filesystem::resize_file(folder / "a.wav", head.size() + static_cast<std::uintmax_t>(data_bytes));
  const audio::Descriptor file(folder / "a.wav");
  return audio::find_riff_data(file.fd).value();
}

TEST(RiffData, BelievesAHeaderThatFits) {
  const auto data = found(36 + 1000, 1000, 1000);
  EXPECT_EQ(data.begin, 44);
  EXPECT_EQ(data.claimed_bytes, 1000);
  EXPECT_EQ(data.present_bytes, 1000);
  EXPECT_FALSE(data.beyond_32_bits);
}

TEST(RiffData, SeesThatAFileIsShorterThanItsHeaderSays) {
  const auto data = found(36 + 4000, 4000, 1000);
  EXPECT_EQ(data.claimed_bytes, 4000);
  EXPECT_EQ(data.present_bytes, 1000);
}

TEST(RiffData, TakesWhatIsThereWhereTheHeaderSaysNothing) {
  for (const std::uint32_t claim : {0u, 0x7ffff000u, 0x80000000u, kMost}) {
    EXPECT_EQ(found(0, claim, 1000).claimed_bytes, 1000) << claim;
  }
  EXPECT_EQ(found(36, 0, 0).claimed_bytes, 0);
}

TEST(RiffData, TakesAllPastFourGigabytesOfAFileThatWasNeverClosed) {
  for (const std::uint32_t claim : {0u, 0x7ffff000u, 0x80000000u, kMost}) {
    const auto data = found(claim == 0 ? 0 : kMost, claim, 5 * kGiB);
    EXPECT_EQ(data.claimed_bytes, 5 * kGiB) << claim;
    EXPECT_TRUE(data.beyond_32_bits);
  }
}

TEST(RiffData, UnwrapsSizesPastFourGigabytes) {
  for (const std::int64_t bytes : {4 * kGiB + 2, 5 * kGiB, 9 * kGiB + 512}) {
    // And a chunk of text after the samples.
    const auto data = found(static_cast<std::uint32_t>(bytes + 36 + 100), static_cast<std::uint32_t>(bytes), bytes + 100);
    EXPECT_EQ(data.claimed_bytes, bytes);
    EXPECT_TRUE(data.beyond_32_bits);
  }
}

TEST(RiffData, GivesUpOnAHeaderWithoutEnd) {
  const TempFolder folder;
  write_bytes(folder / "a.wav", "RIFF" + le32(0) + "WAVEfmt " + le32(16) + std::string(16, '\1'));
  std::filesystem::resize_file(folder / "a.wav", 8 * static_cast<std::uintmax_t>(kGiB));  // zeros: chunks of no bytes
  const audio::Descriptor file(folder / "a.wav");
  EXPECT_FALSE(audio::find_riff_data(file.fd).has_value());
}

TEST(RiffData, OpensFilesPastFourGigabytesThatWereNeverClosed) {
  const TempFolder folder;
  std::string form = wav_bytes(1'000'000, 1, 0, "").substr(12, 24);
  const std::string ds64 = "ds64" + le32(28) + std::string(28, '\0');
  for (const std::string& head :
       {"RIFF" + le32(0) + "WAVE" + form + "data" + le32(0), "RIFF" + le32(kMost) + "WAVE" + form + "data" + le32(kMost),
        "RF64" + le32(kMost) + "WAVE" + ds64 + form + "data" + le32(kMost)}) {
    write_bytes(folder / "a.wav", head + std::string("\0\x40\0\xc0", 4));
    std::filesystem::resize_file(folder / "a.wav", head.size() + static_cast<std::uintmax_t>(5 * kGiB));
    const auto reader = RecordingReader::open(folder / "a.wav");
    EXPECT_EQ(reader->declared_frames(), 5 * kGiB / 2) << head.substr(0, 4);
    std::vector<float> first(3);
    EXPECT_EQ(reader->read(first), 3u);
    EXPECT_THAT(first, testing::ElementsAre(0.5f, -0.5f, 0.0f));
  }
}

}  // namespace
}  // namespace whimbrel::audio_test
