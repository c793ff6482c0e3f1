#include "pipeline/detection.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>

namespace whimbrel {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<Detection> drained(DetectionStore& store) {
  std::vector<Detection> all;
  store.drain([&](const Detection& d) { all.push_back(d); });
  return all;
}

TEST(DetectionStore, ListsByStartThenConfidenceThenLabel) {
  DetectionStore store(3, std::nullopt, ::testing::TempDir());
  for (const Detection& d : {Detection{10, 20, 0, 0.9F}, {0, 5, 2, 0.5F}, {0, 90, 1, 0.5F}, {0, 1, 0, 0.25F}}) store.add(d);
  EXPECT_THAT(drained(store), ElementsAre(Detection{0, 90, 1, 0.5F}, Detection{0, 5, 2, 0.5F}, Detection{0, 1, 0, 0.25F},
                                          Detection{10, 20, 0, 0.9F}));
  EXPECT_THAT(drained(store), IsEmpty());
}

TEST(DetectionStore, WithoutAGapMergesNothing) {
  DetectionStore store(1, std::nullopt, ::testing::TempDir());
  store.add({0, 10, 0, 0.5F});
  store.add({5, 15, 0, 0.5F});
  EXPECT_EQ(drained(store).size(), 2U);
}

TEST(DetectionStore, MergesFromTheFirstStartToTheLastEndWithTheHighestConfidence) {
  DetectionStore store(2, 0, ::testing::TempDir());
  store.add({0, 10, 0, 0.5F});
  store.add({0, 10, 1, 0.25F});  // another class is another detection
  store.add({10, 20, 0, 0.75F});
  store.add({15, 25, 0, 0.5F});  // overlapping windows
  EXPECT_THAT(drained(store), ElementsAre(Detection{0, 25, 0, 0.75F}, Detection{0, 10, 1, 0.25F}));
}

TEST(DetectionStore, MergesUpToTheGapAndNotBeyond) {
  for (const std::int64_t gap : {4, 5}) {
    DetectionStore store(1, gap, ::testing::TempDir());
    store.add({0, 10, 0, 0.5F});
    store.add({15, 25, 0, 0.5F});
    EXPECT_EQ(drained(store).size(), gap == 4 ? 2U : 1U) << gap;
  }
}

TEST(DetectionStore, MergesNothingAcrossRecordings) {
  DetectionStore store(1, 1000, ::testing::TempDir());
  store.add({0, 10, 0, 0.5F});
  EXPECT_THAT(drained(store), ElementsAre(Detection{0, 10, 0, 0.5F}));
  store.add({10, 20, 0, 0.25F});
  EXPECT_THAT(drained(store), ElementsAre(Detection{10, 20, 0, 0.25F}));
}

TEST(DetectionStore, ListsTheSameWhenPartsWaitOnDisk) {
  std::mt19937 random(1);
  for (const std::size_t count : {0U, 6U, 7U, 5000U}) {
    DetectionStore small(4, std::nullopt, ::testing::TempDir(), 7);  // 5000 detections: parts of more than one read
    DetectionStore large(4, std::nullopt, ::testing::TempDir(), 700);
    std::vector<Detection> all;
    for (std::size_t i = 0; i < count; ++i) {
      const auto start = static_cast<std::int64_t>(random() % 1000) << 32U;  // beyond what a float holds
      all.push_back({start, start + 1, static_cast<std::uint32_t>(random() % 4), static_cast<float>(random() % 8) / 8});
      small.add(all.back());
      large.add(all.back());
    }
    std::sort(all.begin(), all.end(), listed_before);
    EXPECT_EQ(drained(small), all);
    EXPECT_EQ(drained(large), all);
    small.add({1, 2, 3, 0.5F});  // the next recording
    EXPECT_THAT(drained(small), ElementsAre(Detection{1, 2, 3, 0.5F}));
  }
}

}  // namespace
}  // namespace whimbrel
