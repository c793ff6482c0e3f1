#include "pipeline/events.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "reference/events.h"

namespace whimbrel {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Layout {
  std::int64_t window_samples = 100;
  std::int64_t hop_samples = 100;
  std::int64_t frames = 10;
  EventFinder::Rule rule{.high = {0.5F}, .low = {0.25F}};
};

EventFinder finder_of(const Layout& layout) {
  return EventFinder({.sample_rate_hz = 100, .window_samples = layout.window_samples, .hop_samples = layout.hop_samples},
                     layout.frames, layout.rule);
}

std::vector<Detection> events(EventFinder& finder, const std::vector<std::vector<float>>& windows) {
  std::vector<Detection> found;
  const TakeDetection take = [&](const Detection& d) { found.push_back(d); };
  for (std::size_t i = 0; i < windows.size(); ++i) finder.window(static_cast<std::int64_t>(i), windows[i], take);
  finder.finish(take);
  std::sort(found.begin(), found.end(), listed_before);
  return found;
}

std::vector<Detection> events(const Layout& layout, const std::vector<std::vector<float>>& windows) {
  auto finder = finder_of(layout);
  return events(finder, windows);
}

TEST(EventFinder, BeginsAndEndsWhereFramesReachTheLowerThreshold) {
  EXPECT_THAT(events({}, {{0, 0.2F, 0.25F, 0.3F, 0.9F, 0.6F, 0.25F, 0.1F, 0, 0}}), ElementsAre(Detection{20, 70, 0, 0.9F}));
}

TEST(EventFinder, NeedsAFrameThatReachesTheHigherThreshold) {
  const float below = std::nextafter(0.5F, 0.0F);
  EXPECT_THAT(events({}, {{0, below, below, 0, 0.5F, 0, 0.3F, 0.3F, 0.3F, 0.3F}}), ElementsAre(Detection{40, 50, 0, 0.5F}));
}

TEST(EventFinder, KeepsEventsAtBothEndsAndAcrossWindows) {
  EXPECT_THAT(events({}, {{1, 0, 0, 0, 0, 0, 0, 0, 1, 1}, {1, 0, 0, 0, 0, 0, 0, 0, 0, 1}}),
              ElementsAre(Detection{0, 10, 0, 1}, Detection{80, 110, 0, 1}, Detection{190, 200, 0, 1}));
}

TEST(EventFinder, PoolsOverlappingWindowsByTheirMean) {
  // The second half of window 0 and the first of window 1 are the same time.
  EXPECT_THAT(events({.hop_samples = 50}, {{0, 0, 0, 0, 0, 0, 0, 1, 1, 0}, {0, 0, 0, 0.5F, 0, 0, 0, 0, 0, 0}}),
              ElementsAre(Detection{70, 90, 0, 0.75F}));
}

TEST(EventFinder, TakesTheNearestFrameWhereTheHopIsNoMultipleOfOne) {
  // 46 samples are 4.6 frames: frame 0 of window 1 is the timeline's frame 5.
  EXPECT_THAT(events({.hop_samples = 46}, {std::vector<float>(10, 0), {1, 0, 0, 0, 0, 1, 0, 0, 0, 0}}),
              ElementsAre(Detection{50, 60, 0, 0.5F}, Detection{100, 110, 0, 1}));
}

TEST(EventFinder, DropsASpikeAndClosesAHoleByTheMedian) {
  Layout layout;
  layout.rule.median_frames = 3;
  EXPECT_THAT(events(layout, {{0, 1, 0, 0, 1, 1, 0, 1, 1, 0}}), ElementsAre(Detection{40, 90, 0, 1}));
}

TEST(EventFinder, RepeatsTheEndsForTheMedian) {
  Layout layout;
  layout.rule.median_frames = 5;
  EXPECT_THAT(events(layout, {{1, 0, 0, 0, 0, 0, 0, 0, 0, 1}}), ElementsAre(Detection{0, 10, 0, 1}, Detection{90, 100, 0, 1}));
  layout.rule.median_frames = 99;  // longer than the recording
  EXPECT_THAT(events(layout, {{1, 1, 1, 1, 1, 1, 0, 0, 0, 0}}), ElementsAre(Detection{0, 60, 0, 1}));
}

TEST(EventFinder, HasThresholdsForEachClassAndNoEventsOfOneThatIsNotListed) {
  const float never = std::numeric_limits<float>::infinity();
  const Layout layout{.window_samples = 20, .frames = 2, .rule = {.high = {0.5F, 0.9F, never}, .low = {0.5F, 0.1F, never}}};
  EXPECT_THAT(events(layout, {{0.6F, 0.4F, 0.95F, 0.1F, 1, 1}}),
              ElementsAre(Detection{0, 20, 1, 0.95F}, Detection{0, 10, 0, 0.6F}));
}

TEST(EventFinder, OfARecordingWithoutWindowsFindsNothingAndBeginsEachAnew) {
  auto finder = finder_of({});
  EXPECT_THAT(events(finder, {}), IsEmpty());
  const std::vector<float> ends(10, 1.0F);
  EXPECT_THAT(events(finder, {ends}), ElementsAre(Detection{0, 100, 0, 1}));
  EXPECT_THAT(events(finder, {ends, ends}), ElementsAre(Detection{0, 200, 0, 1}));
}

TEST(EventFinder, RefusesRowsOfAnotherSizeNotFiniteOrWithAGapBefore) {
  auto finder = finder_of({});
  const auto take = [](const Detection&) {};
  EXPECT_THROW(finder.window(0, std::vector<float>(9), take), Error);
  EXPECT_THROW(finder.window(0, std::vector<float>(10, std::nanf("")), take), Error);
  EXPECT_THROW(finder.window(1, std::vector<float>(10), take), Error);
}

struct Lengths {
  std::int64_t window_samples, hop_samples, frames;
  int median_frames;
};

TEST(EventFinder, FindsWhatTheObviousVersionFinds) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> uniform(0, 1);
  for (const auto& s : {Lengths{100, 100, 10, 1},
                        {100, 100, 7, 5},
                        {100, 50, 10, 3},
                        {100, 33, 10, 7},
                        {160000, 32000, 157, 9},
                        {96, 1, 3, 1},
                        {100, 99, 1, 3},
                        {1000, 700, 31, 11}}) {
    for (const std::size_t count : {1U, 2U, 13U}) {
      constexpr std::size_t kClasses = 3;
      std::vector<std::vector<float>> windows(count, std::vector<float>(kClasses * static_cast<std::size_t>(s.frames)));
      for (auto& window : windows) {
        for (float& score : window) score = uniform(random);
      }
      const float high = 0.7F, low = 0.4F;
      const Layout layout{s.window_samples,
                          s.hop_samples,
                          s.frames,
                          {s.median_frames, std::vector<float>(kClasses, high), std::vector<float>(kClasses, low)}};
      std::vector<Detection> expected;
      for (const auto& e : reference::events(windows, {s.window_samples, s.hop_samples, kClasses,
                                                       static_cast<std::size_t>(s.frames), s.median_frames, high, low})) {
        expected.push_back({e.start, e.end, static_cast<std::uint32_t>(e.label), e.confidence});
      }
      std::sort(expected.begin(), expected.end(), listed_before);
      EXPECT_EQ(events(layout, windows), expected)
          << s.window_samples << ' ' << s.hop_samples << ' ' << s.frames << ' ' << count;
    }
  }
}

}  // namespace
}  // namespace whimbrel
