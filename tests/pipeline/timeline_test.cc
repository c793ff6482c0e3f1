#include "pipeline/timeline.h"

#include <gtest/gtest.h>

#include <numeric>

namespace whimbrel {
namespace {

Clock::time_point at(double seconds) {
  return Clock::time_point{} + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

TEST(Timeline, SpreadsAStageOverItsBuckets) {
  Timeline timeline(at(10));
  timeline.add(at(10.05), at(10.25), {.infer_s = 0.2});
  const auto line = timeline.take();
  EXPECT_DOUBLE_EQ(line.bucket_s, 0.1);
  ASSERT_EQ(line.infer_s.size(), 3U);
  EXPECT_NEAR(line.infer_s[0], 0.05, 1e-9);
  EXPECT_NEAR(line.infer_s[1], 0.1, 1e-9);
  EXPECT_NEAR(line.infer_s[2], 0.05, 1e-9);
}

TEST(Timeline, StaysBoundedAndLosesNothing) {
  Timeline timeline(at(0));
  for (int i = 0; i < 10000; ++i) timeline.add(at(i), at(i + 1), {.decode_s = 0.25, .write_s = 0.5});
  const auto line = timeline.take();
  EXPECT_LE(line.decode_s.size(), Timeline::kMostBuckets);
  EXPECT_GE(line.decode_s.size(), Timeline::kMostBuckets / 2 - 1);
  EXPECT_NEAR(std::accumulate(line.decode_s.begin(), line.decode_s.end(), 0.0), 2500, 1e-6);
  EXPECT_NEAR(std::accumulate(line.write_s.begin(), line.write_s.end(), 0.0), 5000, 1e-6);
  EXPECT_NEAR(line.write_s[3], line.bucket_s / 2, 1e-6);
}

TEST(Timeline, AnInstantHasItsPlace) {
  Timeline timeline(at(0));
  timeline.add(at(0.35), at(0.35), {.front_end_s = 1});
  const auto line = timeline.take();
  ASSERT_EQ(line.front_end_s.size(), 4U);
  EXPECT_DOUBLE_EQ(line.front_end_s[3], 1);
}

}  // namespace
}  // namespace whimbrel
