#include "pipeline/collector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

namespace whimbrel {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;

Ensemble ensemble_of(std::vector<double> weights, std::size_t classes) {
  Ensemble ensemble;
  for (const double weight : weights) {
    Member member;
    member.weight = weight;
    ensemble.members.push_back(std::move(member));
  }
  ensemble.labels.resize(classes);
  ensemble.layout.classes = classes;
  return ensemble;
}

std::vector<std::vector<float>> drained(Collector& collector, std::size_t recording) {
  std::vector<std::vector<float>> rows;
  collector.for_each(recording, [&](std::int64_t index, std::span<const float> scores) {
    EXPECT_EQ(index, static_cast<std::int64_t>(rows.size()));
    rows.emplace_back(scores.begin(), scores.end());
  });
  return rows;
}

const std::filesystem::path kFolder = ::testing::TempDir();

TEST(Ensemble, IsTheWeightedMeanOfProbabilities) {
  const auto ensemble = ensemble_of({1, 3}, 2);
  std::vector<float> mean(2);
  ensemble.combine({{0.2F, 1.0F}, {0.6F, 0.0F}}, mean);
  EXPECT_THAT(mean, ElementsAre(FloatEq(0.5F), FloatEq(0.25F)));
}

TEST(Ensemble, OfOneIsThatOneToTheBit) {
  const auto ensemble = ensemble_of({0.3}, 2);
  std::vector<float> mean(2);
  ensemble.combine({{0.1F, 0.7F}}, mean);
  EXPECT_THAT(mean, ElementsAre(0.1F, 0.7F));
}

Window window(std::size_t recording, std::int64_t index, const MemberSet& members = {}) {
  return {recording, index, {}, members.empty() ? nullptr : std::make_shared<const MemberSet>(members)};
}

TEST(Ensemble, IsTheMeanOfTheMembersThatAreThere) {
  const auto ensemble = ensemble_of({1, 3, 4}, 1);
  std::vector<float> mean(1);
  ensemble.combine({{0.2F}, {}, {0.7F}}, mean);
  EXPECT_THAT(mean, ElementsAre(FloatEq(0.6F)));
}

TEST(Ensemble, CalibratesTheGateWhereItStandsAlone) {
  auto ensemble = ensemble_of({1, 1}, 2);
  ensemble.cascade = Cascade{.gate = 0, .threshold = 0.9, .slope = 2, .offset = -1};
  std::vector<float> out(2);
  ensemble.combine({{0.5F, 0.8F}, {}}, out);
  EXPECT_THAT(out, ElementsAre(FloatEq(1 / (1 + std::exp(1.0F))), FloatEq(1 / (1 + std::exp(1 - 2 * std::log(4.0F))))));
  ensemble.combine({{0.5F, 0.8F}, {0.7F, 0.2F}}, out);
  EXPECT_THAT(out, ElementsAre(FloatEq(0.6F), FloatEq(0.5F)));
  ensemble.combine({{0.0F, 1.0F}, {}}, out);
  EXPECT_THAT(out, ::testing::Each(::testing::AllOf(::testing::Gt(-1e-9F), ::testing::Lt(1.0001F))));
}

TEST(Ensemble, TakesFramesAndEmbeddingsFromThoseThatHaveThem) {
  auto ensemble = ensemble_of({1, 1, 2}, 1);
  ensemble.layout = {.classes = 1, .frames = 2, .embedding = 1};
  ensemble.members[1].frames = 2;
  ensemble.members[2].frames = 2;
  ensemble.members[2].embedding = 1;
  std::vector<float> out(4);
  ensemble.combine({{0.4F}, {0.8F, 0.9F, 0.6F}, {0.4F, 0.3F, 0.0F, -7.0F}}, out);
  EXPECT_THAT(out, ElementsAre(FloatEq(0.5F), FloatEq(0.5F), FloatEq(0.2F), -7.0F));
}

TEST(Collector, WaitsOnlyForTheMembersOfAWindow) {
  const auto ensemble = ensemble_of({1, 1}, 1);
  const auto journal = Journal::unnamed(kFolder);
  Collector collector(ensemble, 1, *journal, kFolder);
  (void)collector.set_window_count(0, 1);
  EXPECT_TRUE(collector.add(1, window(0, 0, {false, true}), {0.25F}));
  EXPECT_THAT(drained(collector, 0), ElementsAre(ElementsAre(0.25F)));
}

TEST(Collector, WaitsForTheGatedMembersOfWhatIsAdmitted) {
  auto ensemble = ensemble_of({1, 1}, 1);
  ensemble.cascade = Cascade{.gate = 0};
  const auto journal = Journal::unnamed(kFolder);
  Collector collector(ensemble, 1, *journal, kFolder);
  (void)collector.set_window_count(0, 2);
  EXPECT_FALSE(collector.add(0, window(0, 0), {0.5F}, true));
  EXPECT_FALSE(collector.add(0, window(0, 1), {0.25F}));
  EXPECT_TRUE(collector.add(1, window(0, 0), {1.0F}));
  EXPECT_THAT(drained(collector, 0), ElementsAre(ElementsAre(0.75F), ElementsAre(FloatEq(0.25F))));
}

TEST(Collector, ClosesBeforeTheFirstWindowThatLacksFramesOrAnEmbedding) {
  auto ensemble = ensemble_of({1, 1}, 1);
  ensemble.members[1].embedding = ensemble.layout.embedding = 1;
  const auto journal = Journal::unnamed(kFolder);
  Collector collector(ensemble, 1, *journal, kFolder);
  for (const std::int64_t index : {0, 1, 2}) collector.add(0, window(0, index), {0.5F});
  collector.add(1, window(0, 0), {0.5F, 7});
  collector.close(0);
  EXPECT_THAT(drained(collector, 0), ElementsAre(ElementsAre(0.5F, 7)));
}

TEST(Collector, ClosesWithWhatWasScoredUpToTheFirstGap) {
  const auto ensemble = ensemble_of({1, 1}, 1);
  const auto journal = Journal::unnamed(kFolder);
  Collector collector(ensemble, 2, *journal, kFolder);
  for (const std::size_t member : {0U, 1U}) (void)collector.add(member, window(0, 0), {0.1F});
  (void)collector.add(1, window(0, 1), {0.2F});  // the other member did not come to it
  (void)collector.add(0, window(0, 3), {0.3F});
  collector.close(0);
  collector.close(1);
  EXPECT_EQ(collector.status(0), Collector::Status::complete);
  EXPECT_EQ(collector.windows_of(0), 2);
  EXPECT_THAT(drained(collector, 0), ElementsAre(ElementsAre(0.1F), ElementsAre(0.2F)));
  EXPECT_EQ(collector.windows_of(1), 0);
  EXPECT_THAT(drained(collector, 1), ::testing::IsEmpty());
}

TEST(Collector, PutsWindowsInOrderHoweverTheyArrive) {
  const auto ensemble = ensemble_of({1}, 1);
  const auto journal = Journal::unnamed(kFolder);
  Collector collector(ensemble, 1, *journal, kFolder);
  EXPECT_FALSE(collector.add(0, window(0, 2), {0.3F}));
  EXPECT_FALSE(collector.add(0, window(0, 0), {0.1F}));
  EXPECT_FALSE(collector.set_window_count(0, 3));
  EXPECT_EQ(collector.status(0), Collector::Status::under_way);
  EXPECT_TRUE(collector.add(0, window(0, 1), {0.2F}));
  EXPECT_EQ(collector.status(0), Collector::Status::complete);
  EXPECT_THAT(drained(collector, 0), ElementsAre(ElementsAre(0.1F), ElementsAre(0.2F), ElementsAre(0.3F)));
}

TEST(Collector, WaitsForEveryMember) {
  const auto ensemble = ensemble_of({1, 1}, 1);
  const auto journal = Journal::unnamed(kFolder);
  Collector collector(ensemble, 1, *journal, kFolder);
  (void)collector.set_window_count(0, 1);
  EXPECT_FALSE(collector.add(1, window(0, 0), {0.0F}));
  EXPECT_TRUE(collector.add(0, window(0, 0), {1.0F}));
  EXPECT_THAT(drained(collector, 0), ElementsAre(ElementsAre(0.5F)));
}

TEST(Collector, LearnsTheWindowCountLastToo) {
  const auto ensemble = ensemble_of({1}, 1);
  const auto journal = Journal::unnamed(kFolder);
  Collector collector(ensemble, 1, *journal, kFolder);
  EXPECT_FALSE(collector.add(0, window(0, 0), {0.5F}));
  EXPECT_TRUE(collector.set_window_count(0, 1));
}

TEST(Collector, KeepsRecordingsApartWhenTheyMeetInTheSpool) {
  constexpr std::size_t kClasses = 1000;  // a buffer holds about 65 of these rows, so both recordings spill several times
  constexpr int kWindows = 300;
  const auto ensemble = ensemble_of({1}, kClasses);
  const auto journal = Journal::unnamed(kFolder);
  Collector collector(ensemble, 2, *journal, kFolder);
  for (int i = 0; i < kWindows; ++i) {
    for (const std::size_t recording : {0U, 1U}) {
      (void)collector.add(0, window(recording, i),
                          std::vector<float>(kClasses, static_cast<float>(i) + (recording == 1 ? 0.5F : 0.0F)));
    }
  }
  EXPECT_TRUE(collector.set_window_count(0, kWindows));
  EXPECT_TRUE(collector.set_window_count(1, kWindows));
  for (const std::size_t recording : {0U, 1U}) {
    const auto rows = drained(collector, recording);
    ASSERT_EQ(rows.size(), static_cast<std::size_t>(kWindows));
    for (int i = 0; i < kWindows; ++i) {
      EXPECT_THAT(rows[static_cast<std::size_t>(i)], ::testing::Each(static_cast<float>(i) + (recording == 1 ? 0.5F : 0.0F)));
    }
  }
}

TEST(Collector, DropsWhatComesAfterARecordingIsAbandoned) {
  const auto ensemble = ensemble_of({1}, 1);
  const auto journal = Journal::unnamed(kFolder);
  Collector collector(ensemble, 1, *journal, kFolder);
  collector.abandon(0, "a score that is not finite");
  EXPECT_FALSE(collector.add(0, window(0, 0), {0.5F}));
  EXPECT_FALSE(collector.set_window_count(0, 1));
  EXPECT_EQ(collector.status(0), Collector::Status::abandoned);
  EXPECT_EQ(collector.reason(0), "a score that is not finite");
}

}  // namespace
}  // namespace whimbrel
