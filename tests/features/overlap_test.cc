// Windows of one recording: what is reused must be what would have been computed.
#include <gmock/gmock.h>

#include "features/signals.h"

namespace whimbrel {
namespace {

using features_test::noise;
using features_test::on_every_target;
using features_test::plane_of;

constexpr int kRateHz = 32000;

struct Grid {
  std::int64_t window_samples, shift_samples;
};

std::span<const float> window_at(std::span<const float> recording, const Grid& grid, std::int64_t index) {
  return recording.subspan(static_cast<std::size_t>(index * grid.shift_samples), static_cast<std::size_t>(grid.window_samples));
}

MelConfig small_config() {
  MelConfig config;
  config.n_fft = config.win_length = 256;
  config.hop_samples = 64;
  config.n_mels = 20;
  config.top_db = 80;
  config.normalize = Normalize::minmax;
  return config;
}

/// Five windows by one front end, each against a front end that never saw another.
void expect_independent_windows(const MelConfig& config, const Grid& grid) {
  const auto recording = noise(grid.window_samples + 4 * grid.shift_samples);
  MelFrontEnd front_end(config, kRateHz, grid.window_samples, grid.shift_samples);
  std::vector<float> plane(static_cast<std::size_t>(front_end.bands() * front_end.frames()));
  for (std::int64_t i = 0; i < 5; ++i) {
    const auto window = window_at(recording, grid, i);
    front_end.compute(window, plane);
    ASSERT_EQ(plane, plane_of(config, kRateHz, window)) << "window " << i;
  }
}

TEST(Overlap, GivesTheBitsOfAFreshFrontEnd) {
  const std::vector<Grid> grids = {
      {4096, 64},                  // all but one frame kept
      {4096, 1024},                // the usual
      {4096, 2048}, {4100, 1024},  // the window is no multiple of the hop
      {4096, 3776},                // one frame kept
      {4096, 3840},                // none left to keep
      {4096, 4096},                // no overlap
      {4096, 5120},                // gaps
      {4096, 1000},                // the hop does not divide the shift
      {300, 64},                   // hardly a frame without padding
      {150, 64},                   // none
  };
  for (const auto& grid : grids) {
    SCOPED_TRACE(::testing::Message() << grid.window_samples << " samples every " << grid.shift_samples);
    for (const bool center : {true, false}) {
      for (const auto pad : {PadMode::reflect, PadMode::constant}) {
        auto config = small_config();
        config.center = center;
        config.pad = pad;
        if (!center && grid.window_samples < config.n_fft) continue;
        on_every_target([&] { expect_independent_windows(config, grid); });
      }
    }
  }
}

TEST(Overlap, HoldsForAHopLongerThanAFrame) {
  auto config = small_config();
  config.hop_samples = 300;
  on_every_target([&] { expect_independent_windows(config, {6000, 900}); });
}

TEST(Overlap, IsReallyReused) {
  // Samples that both windows hold are changed behind its back: frames wholly inside both still show the old ones.
  auto config = small_config();
  config.normalize = Normalize::none;
  config.level = Level::none;
  config.top_db.reset();
  const Grid grid{4096, 1024};
  const auto recording = noise(4096 + 1024);
  MelFrontEnd front_end(config, kRateHz, grid.window_samples, grid.shift_samples);
  const auto frames = front_end.frames();
  std::vector<float> first(static_cast<std::size_t>(front_end.bands() * frames));
  auto second = first;
  front_end.compute(window_at(recording, grid, 0), first);
  front_end.compute(std::vector<float>(4096), second);
  for (std::int64_t t = 0; t < frames; ++t) {
    // Frame t covers [64 t - 128, 64 t + 128): inside from 2 on; in the first window it was 16 frames later, at most 62.
    const bool kept = t >= 2 && t + 16 <= 62;
    EXPECT_EQ(second[static_cast<std::size_t>(t)], kept ? first[static_cast<std::size_t>(t + 16)] : 0.0F) << "frame " << t;
  }
}

TEST(Overlap, IsForgottenByRestart) {
  const auto config = small_config();
  const Grid grid{4096, 1024};
  const auto one = noise(4096, 1);
  const auto other = noise(4096, 2);
  MelFrontEnd front_end(config, kRateHz, grid.window_samples, grid.shift_samples);
  std::vector<float> plane(static_cast<std::size_t>(front_end.bands() * front_end.frames()));
  front_end.compute(one, plane);
  front_end.restart();
  front_end.compute(other, plane);
  EXPECT_EQ(plane, plane_of(config, kRateHz, other));
}

TEST(Overlap, SurvivesAMove) {
  const auto config = small_config();
  const Grid grid{4096, 1024};
  const auto recording = noise(4096 + 1024);
  MelFrontEnd first(config, kRateHz, grid.window_samples, grid.shift_samples);
  std::vector<float> plane(static_cast<std::size_t>(first.bands() * first.frames()));
  first.compute(window_at(recording, grid, 0), plane);
  MelFrontEnd second(std::move(first));
  second.compute(window_at(recording, grid, 1), plane);
  EXPECT_EQ(plane, plane_of(config, kRateHz, window_at(recording, grid, 1)));
}

}  // namespace
}  // namespace whimbrel
