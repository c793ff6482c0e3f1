#include "pipeline/rank_mean.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <random>

namespace whimbrel {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;

constexpr float kAbsent = std::numeric_limits<float>::quiet_NaN();

struct Sizes {
  std::size_t members = 1;
  std::size_t classes = 1;
  std::vector<double> weights = {1};
  std::int64_t block_bytes = RankMean::kBlockBytes;
};

std::vector<float> ranks(const Sizes& s, const std::vector<std::vector<float>>& rows) {
  Spool spool(::testing::TempDir());
  spool.append(std::vector<float>(3));  // something else's
  RankMean mean(spool, s.members, s.classes, s.weights, s.block_bytes);
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(mean.add(rows[i]), static_cast<std::int64_t>(i));
  mean.finish();
  std::vector<float> out(rows.size() * s.classes);
  mean.read(0, static_cast<std::int64_t>(rows.size()), out);
  return out;
}

TEST(RankMean, IsThePlaceAmongAllScoresFrom0To1) {
  EXPECT_THAT(ranks({}, {{0.9F}, {0.1F}, {0.2F}, {0.3F}, {0.95F}}), ElementsAre(0.75F, 0, 0.25F, 0.5F, 1));
}

TEST(RankMean, SharesThePlacesOfEqualScores) {
  EXPECT_THAT(ranks({}, {{0.5F}, {0.1F}, {0.5F}, {0.7F}, {0.5F}}), ElementsAre(0.5F, 0, 0.5F, 1, 0.5F));
  EXPECT_THAT(ranks({}, {{0.5F}, {0.5F}}), ElementsAre(0.5F, 0.5F));
  EXPECT_THAT(ranks({}, {{0.25F}}), ElementsAre(0.5F));
}

TEST(RankMean, WeighsMembersAndRanksEachClassByItself) {
  // Two members of two classes: [member 0: a, b; member 1: a, b].
  EXPECT_THAT(ranks({2, 2, {1, 3}}, {{0.1F, 0.9F, 1e-9F, 2e-9F}, {0.2F, 0.8F, 2e-9F, 1e-9F}, {0.3F, 0.7F, 3e-9F, 0}}),
              ElementsAre(0, 1, 0.5F, 0.5F, 1, 0));
  EXPECT_THAT(ranks({2, 1, {1, 3}}, {{0.1F, 0.9F}, {0.9F, 0.1F}}), ElementsAre(0.75F, 0.25F));
}

TEST(RankMean, LeavesOutMembersThatDidNotScoreARow) {
  EXPECT_THAT(ranks({2, 1, {1, 1}}, {{0.1F, kAbsent}, {0.2F, 0.5F}, {0.3F, 0.4F}}),
              ElementsAre(0, FloatEq(0.75F), FloatEq(0.5F)));
}

TEST(RankMean, IsTheSameToTheBitInBlocksOfAnySize) {
  std::mt19937 random(3);
  const std::size_t members = 3, classes = 4;
  std::vector<std::vector<float>> rows(101, std::vector<float>(members * classes));
  for (auto& row : rows) {
    for (float& score : row) score = static_cast<float>(random() % 20) / 20;
    if (random() % 3 == 0) std::fill_n(row.begin() + 4, 4, kAbsent);
  }
  Sizes sizes{members, classes, {0.2, 0.3, 0.5}};
  const auto whole = ranks(sizes, rows);
  for (const std::int64_t block_bytes : {1, 500, 1000, 9696}) {
    sizes.block_bytes = block_bytes;
    EXPECT_EQ(ranks(sizes, rows), whole) << block_bytes;
  }
  for (std::size_t i = 0; i < whole.size(); ++i) EXPECT_TRUE(whole[i] >= 0 && whole[i] <= 1) << whole[i];
}

TEST(RankMean, ReadsAnyRows) {
  Spool spool(::testing::TempDir());
  RankMean mean(spool, 1, 1, {1}, 16);
  for (const float score : {5.0F, 4.0F, 3.0F, 2.0F, 1.0F}) mean.add(std::vector<float>{score});
  std::vector<float> out(2);
  EXPECT_THROW(mean.read(0, 2, out), Error) << "not finished";
  mean.finish();
  mean.read(3, 2, out);
  EXPECT_THAT(out, ElementsAre(0.25F, 0));
  mean.read(0, 2, out);
  EXPECT_THAT(out, ElementsAre(1, 0.75F));
  EXPECT_THROW(mean.read(4, 2, out), Error);
}

TEST(RankMean, RanksAsIfExcludedRowsHadNeverBeenAdded) {
  Spool spool(::testing::TempDir());
  RankMean mean(spool, 1, 1, {1}, 16);
  for (const float score : {0.3F, 0.9F, 0.0F, 0.1F, 0.2F, 0.8F}) mean.add(std::vector<float>{score});
  mean.exclude(1, 2);
  mean.exclude(5, 1);
  mean.finish();
  std::vector<float> first(1), last(2);
  mean.read(0, 1, first);
  mean.read(3, 2, last);
  EXPECT_THAT(first, ElementsAre(1));
  EXPECT_THAT(last, ElementsAre(0, 0.5F));
}

TEST(RankMean, RefusesRowsOfAnotherSizeOrOfNoMember) {
  Spool spool(::testing::TempDir());
  RankMean mean(spool, 2, 1, {1, 1});
  EXPECT_THROW(mean.add(std::vector<float>{0.5F}), Error);
  EXPECT_THROW(mean.add(std::vector<float>{kAbsent, kAbsent}), Error);
  mean.finish();
  mean.read(0, 0, {});
}

}  // namespace
}  // namespace whimbrel
