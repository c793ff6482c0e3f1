#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sndfile.h>

#include <algorithm>

#include "audio/synthesis.h"

namespace whimbrel::audio_test {
namespace {

using Windows = std::vector<std::vector<float>>;

/// The rule of WindowGrid, sample by sample.
Windows reference_windows(const std::vector<float>& signal, const WindowGrid& grid) {
  Windows windows;
  std::vector<bool> covered(signal.size());
  for (std::int64_t start = 0;; start += grid.hop_samples) {
    std::vector<float> window(static_cast<std::size_t>(grid.window_samples));
    std::int64_t inside = 0;
    std::int64_t uncovered = 0;
    for (std::int64_t n = 0; n < grid.window_samples && start + n < std::ssize(signal); ++n) {
      const auto at = static_cast<std::size_t>(start + n);
      window[static_cast<std::size_t>(n)] = signal[at];
      ++inside;
      if (!covered[at]) ++uncovered;
      covered[at] = true;
    }
    const bool full = inside == grid.window_samples;
    const bool enough =
        uncovered > 0 && static_cast<double>(uncovered) >= grid.min_signal * static_cast<double>(grid.window_samples);
    if (full || enough || start == 0) windows.push_back(window);
    if (!full) return windows;
  }
}

Windows stream(WindowStream& windows, std::size_t grid = 0) {
  Windows out;
  while (windows.next()) {
    EXPECT_EQ(windows.index(), std::ssize(out));
    const std::span<const float> window = windows.window(grid);
    out.emplace_back(window.begin(), window.end());
  }
  EXPECT_FALSE(windows.next()) << "after the end";
  return out;
}

Windows stream(const std::filesystem::path& path, const WindowGrid& grid) {
  WindowStream windows(path, {grid});
  return stream(windows);
}

std::vector<float> resample(std::span<const float> in, int from_hz, int to_hz) {
  Resampler resampler(from_hz, to_hz);
  std::vector<float> out;
  resampler.push(in, out);
  resampler.finish(out);
  return out;
}

constexpr int kWavFloat = SF_FORMAT_WAV | SF_FORMAT_FLOAT;

TEST(WindowStream, MatchesTheObviousVersionForEveryLength) {
  const TempFolder folder;
  for (std::size_t frames = 1; frames <= 45; ++frames) {
    const std::vector<float> signal = noise(frames);
    write_audio(folder / "a.wav", kWavFloat, 100, 1, signal);
    for (const std::int64_t hop : {1, 3, 5, 7, 10, 13, 25}) {
      for (const double min_signal : {0.0, 0.3, 0.5, 1.0}) {
        const WindowGrid grid{100, 10, hop, min_signal};
        ASSERT_EQ(stream(folder / "a.wav", grid), reference_windows(signal, grid))
            << frames << " samples, hop " << hop << ", min_signal " << min_signal;
        ASSERT_EQ(window_count(grid, static_cast<std::int64_t>(frames)), std::ssize(reference_windows(signal, grid)))
            << frames << " samples, hop " << hop << ", min_signal " << min_signal;
      }
    }
  }
}

TEST(WindowStream, MatchesTheObviousVersionOverManyBlocks) {
  const TempFolder folder;
  for (const std::size_t frames : {32767u, 32768u, 32769u, 65536u, 131071u}) {
    const std::vector<float> signal = noise(frames);
    write_audio(folder / "a.wav", kWavFloat, 48000, 1, signal);
    for (const auto& [window, hop] : {std::pair(1000, 1000), {16384, 16384}, {40000, 10000}, {100, 50000}, {200000, 1}}) {
      const WindowGrid grid{48000, window, hop};
      ASSERT_EQ(stream(folder / "a.wav", grid), reference_windows(signal, grid)) << frames << " samples, hop " << hop;
    }
  }
}

TEST(WindowStream, ReachesBeyondAWindowWithinTheMargin) {
  const TempFolder folder;
  for (const std::size_t frames : {1u, 9u, 10u, 11u, 37u, 70000u}) {
    const std::vector<float> signal = noise(frames);
    write_audio(folder / "a.wav", kWavFloat, 100, 1, signal);
    for (const std::int64_t hop : {1, 5, 10, 13}) {
      const WindowGrid grid{100, 10, hop};
      WindowStream windows(folder / "a.wav", {grid}, 0.07);
      std::int64_t count = 0;
      for (; windows.next(); ++count) {
        for (const std::int64_t shift : {-7, -3, 0, 1, 7}) {
          const auto window = windows.window(0, shift);
          for (std::int64_t n = 0; n < grid.window_samples; ++n) {
            const std::int64_t at = count * hop + shift + n;
            const float expected = at < 0 || at >= std::ssize(signal) ? 0 : signal[static_cast<std::size_t>(at)];
            ASSERT_EQ(window[static_cast<std::size_t>(n)], expected) << frames << ' ' << hop << ' ' << shift << ' ' << n;
          }
        }
      }
      EXPECT_EQ(count, window_count(grid, std::ssize(signal)));
    }
  }
  WindowStream windows(folder / "a.wav", {WindowGrid{100, 10, 10}}, 0.07);
  (void)windows.next();
  EXPECT_THROW((void)windows.window(0, 8), Error);
}

TEST(WindowStream, LeavesNoHalfWindowUnscored) {
  const TempFolder folder;
  const auto count = [&](std::size_t frames, WindowGrid grid) {
    write_audio(folder / "a.wav", kWavFloat, 1000, 1, noise(frames));
    return stream(folder / "a.wav", grid).size();
  };
  const WindowGrid five_s{1000, 5000, 5000};
  EXPECT_EQ(count(600000, five_s), 120u);
  EXPECT_EQ(count(602499, five_s), 120u);
  EXPECT_EQ(count(602500, five_s), 121u);
  EXPECT_EQ(count(604999, five_s), 121u);
  EXPECT_EQ(count(1, five_s), 1u);
  const WindowGrid overlapping{1000, 5000, 4000};
  EXPECT_EQ(count(9000, overlapping), 2u);
  EXPECT_EQ(count(11499, overlapping), 2u);  // 2.499 s behind the second window
  EXPECT_EQ(count(11500, overlapping), 3u);
}

TEST(WindowStream, GivesGridsOfSeveralRatesInLockStep) {
  const TempFolder folder;
  const int rate = 44100;
  for (const std::size_t frames : {1u, 10000u, 44100u, 100000u, 155000u}) {
    const std::vector<float> signal = noise(frames);
    write_audio(folder / "a.wav", kWavFloat, rate, 1, signal);
    std::vector<WindowGrid> grids = {{32000, 16000, 8000}, {48000, 24000, 12000}, {rate, 22050, 11025}};
    for (int turn = 0; turn < 3; ++turn) {
      const Windows leading = reference_windows(resample(signal, rate, grids[0].sample_rate_hz), grids[0]);
      for (std::size_t g = 0; g < grids.size(); ++g) {
        WindowStream windows(folder / "a.wav", grids);
        const Windows got = stream(windows, g);
        ASSERT_EQ(got.size(), leading.size());
        // The count is the first grid's; the samples are the grid's own signal, with zeros behind its end.
        std::vector<float> expected = resample(signal, rate, grids[g].sample_rate_hz);
        expected.resize(expected.size() + static_cast<std::size_t>(2 * grids[g].window_samples));
        for (std::size_t i = 0; i < got.size(); ++i) {
          const auto from = expected.begin() + static_cast<std::ptrdiff_t>(i) * grids[g].hop_samples;
          ASSERT_TRUE(std::equal(got[i].begin(), got[i].end(), from)) << frames << " samples, grid " << g << ", window " << i;
        }
      }
      std::rotate(grids.begin(), grids.begin() + 1, grids.end());
    }
  }
}

TEST(WindowStream, GivesOneWindowOfASingleSampleAtAnyRate) {
  const TempFolder folder;
  write_audio(folder / "a.wav", kWavFloat, 192000, 1, noise(1));
  EXPECT_EQ(stream(folder / "a.wav", WindowGrid{8000, 40000, 40000}).size(), 1u);
}

TEST(WindowStream, GivesTheWindowsBeforeDecodingStops) {
  const TempFolder folder;
  write_audio(folder / "whole.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, noise(10 * 16000));
  const std::string bytes = read_bytes(folder / "whole.flac");
  write_bytes(folder / "half.flac", bytes.substr(0, bytes.size() / 2));
  const WindowGrid grid{16000, 16000, 16000};

  WindowStream whole(folder / "whole.flac", {grid});
  const Windows expected = stream(whole);
  EXPECT_EQ(whole.error(), "");
  EXPECT_EQ(whole.decoded_s(), 10.0);
  EXPECT_EQ(expected.size(), 10u);

  WindowStream half(folder / "half.flac", {grid});
  const Windows got = stream(half);
  EXPECT_THAT(half.error(), testing::HasSubstr("decoding stopped at 4."));
  EXPECT_EQ(got, reference_windows(decode(folder / "half.flac").samples, grid));
  EXPECT_TRUE(std::equal(got.begin(), got.begin() + 4, expected.begin()));
  EXPECT_EQ(half.reader().codec(), "FLAC/PCM_16");
}

TEST(WindowStream, ThrowsWhereNotOneSampleDecodes) {
  const TempFolder folder;
  write_audio(folder / "whole.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, noise(10 * 16000));
  std::string bytes = read_bytes(folder / "whole.flac");
  std::fill(bytes.begin() + 200, bytes.end(), '\0');
  write_bytes(folder / "hollow.flac", bytes);
  const std::string message =
      message_of(ErrorCode::bad_recording, [&] { WindowStream(folder / "hollow.flac", {WindowGrid{16000, 16000, 16000}}); });
  EXPECT_THAT(message, testing::HasSubstr("hollow.flac"));
  message_of(ErrorCode::not_found, [&] { WindowStream(folder / "none.flac", {WindowGrid{}}); });
}

TEST(WindowStream, RefusesGridsThatContradictEachOther) {
  const TempFolder folder;
  write_audio(folder / "a.wav", kWavFloat, 16000, 1, noise(16000));
  const auto refusal = [&](std::vector<WindowGrid> grids) {
    return message_of(ErrorCode::invalid_argument, [&] { WindowStream(folder / "a.wav", std::move(grids)); });
  };
  EXPECT_THAT(refusal({}), testing::HasSubstr("expected at least one"));
  EXPECT_THAT(refusal({{0, 10, 10}}), testing::HasSubstr("sample_rate_hz=0"));
  EXPECT_THAT(refusal({{16000, 0, 10}}), testing::HasSubstr("window_samples=0"));
  EXPECT_THAT(refusal({{16000, 10, -1}}), testing::HasSubstr("hop_samples=-1"));
  EXPECT_THAT(refusal({{16000, 10, 10, 1.5}}), testing::HasSubstr("min_signal=1.5, expected 0..1"));
  EXPECT_THAT(refusal({{16000, 10, 10, std::numeric_limits<double>::quiet_NaN()}}), testing::HasSubstr("expected 0..1"));
  EXPECT_THAT(refusal({{32000, 160000, 160000}, {48000, 144000, 240000}}), testing::HasSubstr("not the same seconds"));
  EXPECT_THAT(refusal({{32000, 160000, 160000}, {48000, 240000, 120000}}), testing::HasSubstr("not the same seconds"));
  // 1/3 s, rounded at each rate.
  EXPECT_NO_THROW(WindowStream(folder / "a.wav", {{32000, 10667, 10667}, {22050, 7350, 7350}}));
}

TEST(WindowStream, KeepsMemoryConstant) {
  const TempFolder folder;
  const std::int64_t frames = 20 * 60 * 48000;
  write_bytes(folder / "long.wav", wav_bytes(48000, 1, static_cast<std::uint32_t>(2 * frames), ""));
  std::filesystem::resize_file(folder / "long.wav", static_cast<std::uintmax_t>(44 + 2 * frames));  // a hole: zeros
  const std::int64_t before = peak_rss_bytes();
  WindowStream windows(folder / "long.wav", {WindowGrid{32000, 160000, 160000}});
  std::int64_t count = 0;
  while (windows.next()) ++count;
  EXPECT_EQ(count, 240);
  // The signal in float32 is 220 MB; a window, a block, and their vectors' spare room are below 4.
  EXPECT_LT(peak_rss_bytes() - before, 32 << 20);
}

TEST(RecordingExtensions, AreLowerCaseWithTheDot) {
  for (const std::string& extension : recording_extensions()) {
    EXPECT_TRUE(extension.starts_with(".")) << extension;
    EXPECT_TRUE(std::ranges::none_of(extension, [](char c) { return c >= 'A' && c <= 'Z'; })) << extension;
  }
  EXPECT_THAT(recording_extensions(),
              testing::IsSupersetOf({".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".wma"}));
}

}  // namespace
}  // namespace whimbrel::audio_test
