#include "pipeline/post_process.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <limits>

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Table = std::vector<std::vector<float>>;

Rows rows_of(Table table) {
  return [table = std::move(table)](const auto& take) {
    for (std::size_t i = 0; i < table.size(); ++i) take(static_cast<std::int64_t>(i), table[i]);
  };
}

Table table_of(const Rows& rows) {
  Table table;
  rows([&](std::int64_t index, std::span<const float> row) {
    EXPECT_EQ(index, static_cast<std::int64_t>(table.size()));
    table.emplace_back(row.begin(), row.end());
  });
  return table;
}

/// Of one class.
std::vector<float> processed(const PostProcess& post, const std::vector<float>& scores) {
  Table table;
  for (const float score : scores) table.push_back({score});
  std::vector<float> result;
  for (const auto& row : table_of(post_processed(rows_of(table), post, {true}))) result.push_back(row[0]);
  return result;
}

TEST(PostProcessed, WithoutAnythingToDoIsTheScoresToTheBit) {
  const Table scores = {{0.1F, 0.2F}, {0.3F, 1.0F / 3}};
  EXPECT_EQ(table_of(post_processed(rows_of(scores), {}, {true, true})), scores);
}

TEST(PostProcessed, SmoothsWithTheNeighboursThereAre) {
  EXPECT_THAT(processed({.smooth = {1, 2, 1}}, {0, 0, 1, 0, 0.5F}),
              ElementsAre(0, FloatEq(0.25F), FloatEq(0.5F), FloatEq(0.375F), FloatEq(1.0F / 3)));
}

TEST(PostProcessed, LooksBackWithTheFirstWeightAndAheadWithTheLast) {
  EXPECT_THAT(processed({.smooth = {1, 1, 0}}, {1, 0, 0}), ElementsAre(1, FloatEq(0.5F), 0));
}

TEST(PostProcessed, LeavesConstantScoresAloneWhateverTheWeightsAddUpTo) {
  for (const std::size_t windows : {1U, 2U, 3U, 9U}) {
    for (const float score : processed({.smooth = {0.5, 3, 7, 2, 1}}, std::vector<float>(windows, 0.3F))) {
      EXPECT_FLOAT_EQ(score, 0.3F);
    }
  }
}

TEST(PostProcessed, TakesAKernelLongerThanTheRecording) {
  EXPECT_THAT(processed({.smooth = {1, 1, 1, 1, 1, 1, 1}}, {0.2F, 0.4F}), ElementsAre(FloatEq(0.3F), FloatEq(0.3F)));
  EXPECT_THAT(processed({.smooth = {1, 1, 1}}, {}), IsEmpty());
}

TEST(PostProcessed, MultipliesWithTheRecordingsMaximumOrMean) {
  EXPECT_THAT(processed({.prior = Prior::max}, {0.5F, 0.25F}), ElementsAre(0.25F, 0.125F));
  EXPECT_THAT(processed({.prior = Prior::mean}, {0.75F, 0.25F}), ElementsAre(0.375F, 0.125F));
  EXPECT_THAT(processed({.prior = Prior::max, .prior_power = 0.5}, {0.25F, 1.0F / 16}), ElementsAre(0.125F, 1.0F / 32));
  EXPECT_THAT(processed({.prior = Prior::max, .prior_power = 2}, {0.5F}), ElementsAre(0.125F));
}

TEST(PostProcessed, HasAPriorForEachClass) {
  EXPECT_EQ(table_of(post_processed(rows_of({{0.5F, 0}, {0, 1}}), {.prior = Prior::max}, {true, true})),
            (Table{{0.25F, 0}, {0, 1}}));
}

TEST(PostProcessed, SmoothsBeforeThePrior) {
  // Smoothed: 0.5, 0.5; had the prior come first: 1, 0, which smooth to the same. With a third window they differ.
  EXPECT_THAT(processed({.smooth = {1, 1, 1}, .prior = Prior::max}, {1, 0, 0}),
              ElementsAre(FloatEq(0.25F), FloatEq(0.5F / 3), FloatEq(0)));
}

TEST(PostProcessed, IsZeroForClassesThatAreNotListed) {
  EXPECT_EQ(table_of(post_processed(rows_of({{0.5F, 0.75F}}), {}, {false, true})), (Table{{0, 0.75F}}));
}

TEST(PostProcessed, CanBeReadTwice) {
  const auto rows = post_processed(rows_of({{0.5F}, {0.25F}}), {.smooth = {1, 2, 1}, .prior = Prior::mean}, {true});
  EXPECT_EQ(table_of(rows), table_of(rows));
}

// What options make of a manifest

Manifest sed_manifest() {
  Manifest manifest;
  manifest.path = "b0.toml";
  manifest.frame_output = "frames";
  return manifest;
}

std::string refusal(const PredictOptions& options, const Manifest& manifest = sed_manifest()) {
  try {
    resolve_post_process(manifest, options);
  } catch (const Error& error) {
    EXPECT_EQ(to_string(error.code()), "invalid_argument");
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

TEST(ResolvePostProcess, TakesTheManifestsAndReplacesWhatIsGiven) {
  auto manifest = sed_manifest();
  manifest.post = {.smooth = {1, 2, 1}, .prior = Prior::max, .prior_power = 2, .merge_gap_s = 1, .species_list = "a.txt"};
  EXPECT_EQ(resolve_post_process(manifest, {}), manifest.post);
  PredictOptions options;
  options.post.smooth = {1};
  options.post.prior = Prior::mean;
  options.post.species_list = "b.txt";
  EXPECT_EQ(resolve_post_process(manifest, options),
            (PostProcess{.smooth = {1}, .prior = Prior::mean, .prior_power = 2, .merge_gap_s = 1, .species_list = "b.txt"}));
  options.post.ignore_manifest = true;
  EXPECT_EQ(resolve_post_process(manifest, options),
            (PostProcess{.smooth = {1}, .prior = Prior::mean, .species_list = "b.txt"}));
}

TEST(ResolvePostProcess, KeepsTheRatioOfAnEventsThresholds) {
  PredictOptions options;
  options.post.events = true;
  EXPECT_EQ(resolve_post_process(sed_manifest(), options).events, EventRule());
  options.post.event_high = 0.25;
  EXPECT_EQ(resolve_post_process(sed_manifest(), options).events, (EventRule{1, 0.25, 0.1}));
  options.post.event_low = 0.2;
  options.post.event_median_frames = 5;
  EXPECT_EQ(resolve_post_process(sed_manifest(), options).events, (EventRule{5, 0.25, 0.2}));
}

TEST(ResolvePostProcess, RefusesWhatCannotBe) {
  const auto with = [](auto set) {
    PredictOptions options;
    set(options);
    return refusal(options);
  };
  EXPECT_THAT(with([](auto& o) { o.post.smooth = {0.5, 0.5}; }), HasSubstr("smooth cannot be used, expected an odd number"));
  EXPECT_THAT(with([](auto& o) { o.post.smooth = {1, 0, 1}; }), HasSubstr("the middle one above 0"));
  EXPECT_THAT(with([](auto& o) { o.post.prior_power = 2; }), HasSubstr("--prior-power without a prior"));
  EXPECT_THAT(with([](auto& o) { o.post.merge_gap_s = -1; }), HasSubstr("merge_gap_s cannot be used"));
  EXPECT_THAT(with([](auto& o) { o.post.event_low = 0.1; }), HasSubstr("expected --events too"));
  EXPECT_THAT(with([](auto& o) {
                o.post.events = true;
                o.post.event_median_frames = 4;
              }),
              HasSubstr("events.median_frames cannot be used, expected an odd whole number"));
  EXPECT_THAT(with([](auto& o) {
                o.post.events = true;
                o.top_k = 3;
              }),
              HasSubstr("--top-k with events"));
  EXPECT_THAT(with([](auto& o) { o.post.tta_shifts_s = {1, 1}; }), HasSubstr("distinct"));
  EXPECT_THAT(with([](auto& o) { o.mean_power = 0; }), HasSubstr("--mean-power 0"));
  EXPECT_THAT(with([](auto& o) { o.mean_power = 101; }), HasSubstr("expected a number in (0, 100]"));
}

// Files

class ClassLists : public ::testing::Test {
 protected:
  ClassLists()
      : folder_(fs::path(WHIMBREL_TEST_DATA_DIR) / "class_lists" /
                ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::create_directories(folder_);
  }

  fs::path file(std::string_view text) const {
    std::ofstream(folder_ / "list", std::ios::binary) << text;
    return folder_ / "list";
  }
  std::vector<bool> listed(std::string_view text) const { return listed_classes({.species_list = file(text)}, labels_); }
  std::vector<float> thresholds(std::string_view text, double fallback = 0.1) const {
    return class_thresholds({.thresholds = file(text)}, labels_, {true, true, true}, fallback);
  }
  template <class F>
  static std::string refusal(F&& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
  }

  fs::path folder_;
  std::vector<Label> labels_ = {{"Parus major_Great Tit", "Parus major", "Great Tit"},
                                {"Parus minor_Japanese Tit", "Parus minor", "Japanese Tit"},
                                {"noise", "noise", "noise"}};
};

TEST_F(ClassLists, NameClassesByAnyOfTheirNames) {
  EXPECT_THAT(listed("Parus major\n"), ElementsAre(true, false, false));
  EXPECT_THAT(listed("Great Tit\nParus minor_Japanese Tit"), ElementsAre(true, true, false));
  EXPECT_THAT(listed("\xef\xbb\xbf noise \r\n\r\nnoise\r\n"), ElementsAre(false, false, true));
  EXPECT_THAT(listed_classes({}, labels_), ElementsAre(true, true, true));
}

TEST_F(ClassLists, MeanAllClassesThatShareAName) {
  labels_[1].common = "Great Tit";
  EXPECT_THAT(listed("Great Tit\n"), ElementsAre(true, true, false));
}

TEST_F(ClassLists, SayWhichNameIsUnknownAndWhatIsClose) {
  EXPECT_THAT(refusal([&] { listed("noise\nParus mayor\n"); }),
              AllOf(HasSubstr("list:2: \"Parus mayor\""), HasSubstr("did you mean \"Parus major\"?")));
  EXPECT_THAT(refusal([&] { listed("penguin\n"); }), HasSubstr("correct or remove it"));
  EXPECT_THAT(refusal([&] { listed("\n\n"); }), HasSubstr("names no species"));
  EXPECT_THAT(refusal([&] { listed_classes({.species_list = folder_ / "none"}, labels_); }), HasSubstr("none"));
}

TEST_F(ClassLists, GiveThresholdsByClass) {
  EXPECT_THAT(thresholds("class,threshold\nnoise,0.9\nGreat Tit, 0.25\n"), ElementsAre(0.25F, 0.1F, 0.9F));
  EXPECT_THAT(thresholds("note,threshold,class\nx,1,noise\n", 0.5), ElementsAre(0.5F, 0.5F, 1.0F));
  EXPECT_THAT(class_thresholds({}, labels_, {true, false, true}, 0), ElementsAre(0, std::numeric_limits<float>::infinity(), 0));
}

TEST_F(ClassLists, RefuseThresholdsThatCannotBe) {
  for (const std::string bad : {"1.5", "-0.1", "nan", "", "0.5x", "x"}) {
    EXPECT_THAT(refusal([&] { thresholds("class,threshold\nnoise," + bad + "\n"); }),
                AllOf(HasSubstr("row 1"), HasSubstr("threshold \"" + bad + "\", expected a number, 0..1")));
  }
  EXPECT_THAT(refusal([&] { thresholds("class,threshold\nnoise,1\nnoise,1\n"); }), HasSubstr("row 2: class \"noise\" has"));
  EXPECT_THAT(refusal([&] { thresholds("class,threshold\nnoisy,1\n"); }), HasSubstr("did you mean \"noise\"?"));
  EXPECT_THAT(refusal([&] { thresholds("class,value\nnoise,1\n"); }), HasSubstr("threshold"));
}

}  // namespace
}  // namespace whimbrel
