#include "pipeline/detector.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

namespace whimbrel {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

std::vector<Hit> hits(const std::vector<float>& scores, float threshold, int top_k) {
  return hits_of(scores, std::vector<float>(scores.size(), threshold), top_k);
}

TEST(HitsOf, CountsAScoreEqualToTheThreshold) {
  const float below = std::nextafter(0.7F, 0.0F);
  const std::vector<float> scores = {0.7F, below, 0.0F};
  EXPECT_THAT(hits(scores, static_cast<float>(0.7), 0), ElementsAre(Hit{0, 0.7F}));  // 0.7F < 0.7 in double
  EXPECT_EQ(hits(scores, 0.0F, 0).size(), 3U);
  EXPECT_THAT(hits(scores, 0.9F, 0), IsEmpty());
}

TEST(HitsOf, SortsByScoreThenLabelAndCutsAfterThat) {
  const std::vector<float> scores = {0.25F, 0.5F, 0.75F, 0.5F, 0.5F};
  EXPECT_THAT(hits(scores, 0.1F, 0), ElementsAre(Hit{2, 0.75F}, Hit{1, 0.5F}, Hit{3, 0.5F}, Hit{4, 0.5F}, Hit{0, 0.25F}));
  EXPECT_THAT(hits(scores, 0.1F, 3), ElementsAre(Hit{2, 0.75F}, Hit{1, 0.5F}, Hit{3, 0.5F}));
  EXPECT_EQ(hits(scores, 0.1F, 99).size(), 5U);
}

TEST(HitsOf, HasAThresholdForEachClass) {
  const float never = std::numeric_limits<float>::infinity();
  EXPECT_THAT(hits_of(std::vector<float>{0.5F, 0.5F, 1.0F}, std::vector<float>{0.5F, 0.6F, never}, 0),
              ElementsAre(Hit{0, 0.5F}));
}

TEST(Detector, PlacesWindowsByTheHop) {
  const Detector detector({.sample_rate_hz = 10, .window_samples = 30, .hop_samples = 15}, {0.5F, 0.5F}, 0);
  std::vector<Detection> found;
  detector.window(2, std::vector<float>{0.5F, 0.75F}, [&](const Detection& d) { found.push_back(d); });
  EXPECT_THAT(found, ElementsAre(Detection{30, 60, 1, 0.75F}, Detection{30, 60, 0, 0.5F}));
}

TEST(Detector, RefusesValuesOutOfRange) {
  const WindowGrid grid{.sample_rate_hz = 10, .window_samples = 30, .hop_samples = 30};
  EXPECT_THAT([&] { Detector(grid, {std::nanf("")}, 0); }, ThrowsMessage<Error>(HasSubstr("threshold=nan")));
  EXPECT_THAT([&] { Detector(grid, {0.5F}, -1); }, ThrowsMessage<Error>(HasSubstr("top_k=-1")));
}

}  // namespace
}  // namespace whimbrel
