#include "pipeline/result_writer.h"

#include <gmock/gmock.h>

#include <fstream>

#include "pipeline/formats_fixture.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Table = std::vector<std::vector<float>>;

Rows rows_of(Table table) {
  return [table = std::move(table)](const auto& take) {
    for (std::size_t i = 0; i < table.size(); ++i) take(static_cast<std::int64_t>(i), table[i]);
  };
}

RecordingRows scored(const Table& table) {
  return {.scores = rows_of(table), .windows = static_cast<std::int64_t>(table.size())};
}

class ResultWriterTest : public FormatsTest {
 protected:
  ResultWriter writer(PostProcess post = {}) {
    options_.out_dir = context_.out_dir;
    options_.sample_submission = context_.sample_submission;
    return ResultWriter(options_, context_.labels, context_.grid, std::move(post));
  }

  void write(const std::vector<Scored>& recordings, PostProcess post = {}) {
    auto results = writer(std::move(post));
    for (const auto& recording : recordings) results.write(recording.name, scored(recording.windows));
    results.finish();
  }

  std::string lines() const {  // of detections.csv, without its header
    const auto text = out("detections.csv");
    return text.substr(text.find('\n') + 1);
  }

  PredictOptions options_;
};

TEST_F(ResultWriterTest, WithoutPostProcessingWritesWhatTheFormatsWriteByThemselves) {
  const std::vector<Scored> recordings = {{kDawn, {{0.5F, 0.75F, 0.0F}, {0.1F, 0.0F, 0.25F}, {0.5F, 0.5F, 0.5F}}},
                                          {kDusk, {{0.1F, 0.2F, 1.0F / 3}}}};
  for (const auto& name : format_names()) run(name, recordings);
  std::vector<std::string> expected;
  const auto names = listing();
  for (const auto& name : names) expected.push_back(out(name));
  fs::remove_all(context_.out_dir);
  options_.formats = format_names();
  write(recordings);
  EXPECT_EQ(listing(), names);
  for (std::size_t i = 0; i < names.size(); ++i) EXPECT_EQ(out(names[i]), expected[i]) << names[i];
}

TEST_F(ResultWriterTest, WritesAndDetectsSmoothedScores) {
  context_.labels = {kNoise};
  options_.formats = {"kaggle", "csv"};
  options_.threshold = 0.3;
  write({{kDusk, {{0}, {1}, {0}}}}, {.smooth = {1, 2, 1}});
  EXPECT_EQ(out("submission.csv"), "row_id,noise\ndusk_5,0.33333334\ndusk_10,0.5\ndusk_15,0.33333334\n");
  EXPECT_EQ(lines(),
            "0.0,5.0,noise,noise,0.3333,dusk.flac\n5.0,10.0,noise,noise,0.5000,dusk.flac\n"
            "10.0,15.0,noise,noise,0.3333,dusk.flac\n");
}

TEST_F(ResultWriterTest, MergesDetectionsOfOneClassInOneRecording) {
  context_.labels = {kTit, kNoise};
  options_.formats = {"csv", "kaleidoscope", "raven"};
  const std::vector<Scored> recordings = {{kDusk, {{0.5F, 0.9F}, {0.75F, 0}, {0, 0}, {0.25F, 0.5F}}}, {kDawn, {{0.25F, 0}}}};
  write(recordings, {.merge_gap_s = 0});
  EXPECT_EQ(lines(),
            "0.0,5.0,noise,noise,0.9000,dusk.flac\n0.0,10.0,Parus major,Great Tit,0.7500,dusk.flac\n"
            "15.0,20.0,noise,noise,0.5000,dusk.flac\n15.0,20.0,Parus major,Great Tit,0.2500,dusk.flac\n"
            "0.0,5.0,Parus major,Great Tit,0.2500,field/site 1/dawn.wav\n");
  EXPECT_THAT(out("kaleidoscope.csv"), HasSubstr("dusk.flac,0.0,10.0,Great Tit,0.7500\n"));
  EXPECT_THAT(out("dusk.flac.selections.txt"), HasSubstr("\n4\tSpectrogram 1\t1\t15.0\t20.0\t"));
  write(recordings, {.merge_gap_s = 5});
  EXPECT_THAT(lines(), HasSubstr("0.0,20.0,Parus major,Great Tit,0.7500,dusk.flac\n"));
}

TEST_F(ResultWriterTest, KeepsTheBestOfAWindowBeforeItMerges) {
  context_.labels = {kTit, kNoise};
  options_.top_k = 1;
  write({{kDusk, {{0.5F, 0.9F}, {0.75F, 0.6F}}}}, {.merge_gap_s = 0});
  EXPECT_EQ(lines(), "0.0,5.0,noise,noise,0.9000,dusk.flac\n5.0,10.0,Parus major,Great Tit,0.7500,dusk.flac\n");
}

TEST_F(ResultWriterTest, FindsListedClassesOnlyEvenAtThresholdZero) {
  std::ofstream(dir_ / "list.txt") << "Great Tit\n";
  options_.formats = {"kaggle", "csv"};
  options_.threshold = 0;
  write({{kDusk, {{0.5F, 0.25F, 0.75F}}}}, {.species_list = dir_ / "list.txt"});
  EXPECT_THAT(out("submission.csv"), HasSubstr("\ndusk_5,0,0.25,0\n"));
  EXPECT_EQ(lines(), "0.0,5.0,Parus major,Great Tit,0.2500,dusk.flac\n");
}

TEST_F(ResultWriterTest, HasThresholdsByClass) {
  std::ofstream(dir_ / "thresholds.csv") << "class,threshold\nnoise,0.8\nGreat Tit,0.05\n";
  write({{kDusk, {{0.09F, 0.05F, 0.75F}, {0.1F, 0, 0.8F}}}}, {.thresholds = dir_ / "thresholds.csv"});
  EXPECT_EQ(lines(),
            "0.0,5.0,Parus major,Great Tit,0.0500,dusk.flac\n5.0,10.0,noise,noise,0.8000,dusk.flac\n"
            "5.0,10.0,Poecile atricapillus,Black-capped Chickadee,0.1000,dusk.flac\n");
}

// Windows that were not scored

TEST_F(ResultWriterTest, FillsWindowsThatWereNotScoredWithTheMeanOfThoseThatWere) {
  context_.labels = {kTit, kNoise};
  options_.formats = {"kaggle", "npy", "csv"};
  auto results = writer();
  results.write(kDusk, scored({{0.5F, 0}, {0, 0.25F}}));
  const RecordingRows half = {.scores = rows_of({{0.25F, 0.5F}}), .windows = 3}, none = {.windows = 1};
  results.tally(half);
  results.tally(none);
  results.write(kDawn, half);
  results.write({"late.wav", "late.wav"}, none);
  results.finish();
  EXPECT_EQ(out("submission.csv"),
            "row_id,Parus major_Great Tit,noise\ndusk_5,0.5,0\ndusk_10,0,0.25\ndawn_5,0.25,0.5\ndawn_10,0.25,0.25\n"
            "dawn_15,0.25,0.25\nlate_5,0.25,0.25\n");
  const auto npy = read_npy(context_.out_dir / "scores.npy");
  EXPECT_EQ(npy.shape, (Shape{6, 2}));
  EXPECT_THAT(std::vector<float>(npy.values.end() - 2, npy.values.end()), ElementsAre(0.25F, 0.25F));
  EXPECT_THAT(out("scores.index.csv"), HasSubstr("\n5,late.wav,0.0,5.0\n"));
  EXPECT_EQ(results.rows_filled(), 3);
  EXPECT_EQ(read_csv(context_.out_dir / "detections.csv").rows.size(), 4U) << "none of a filled window";
}

TEST_F(ResultWriterTest, CountsScoresAsTheyAreWrittenInTheMean) {
  context_.labels = {kNoise};
  options_.formats = {"kaggle"};
  auto results = writer({.prior = Prior::max});
  const RecordingRows late = {.scores = rows_of({{0.5F}, {1.0F}}), .windows = 3};
  results.tally(late);
  results.write(kDusk, late);
  results.finish();
  EXPECT_EQ(out("submission.csv"), "row_id,noise\ndusk_5,0.5\ndusk_10,1\ndusk_15,0.75\n");
}

TEST_F(ResultWriterTest, FillsWithZerosWhenNothingWasScored) {
  context_.labels = {kNoise};
  options_.formats = {"kaggle"};
  auto results = writer();
  results.write(kDusk, {.windows = 1});
  results.finish();
  EXPECT_EQ(out("submission.csv"), "row_id,noise\ndusk_5,0\n");
  EXPECT_EQ(results.rows_filled(), 1);
}

TEST_F(ResultWriterTest, FillsEachRowOfASampleSubmissionOnce) {
  context_.labels = {kNoise};
  write_sample("row_id,noise\ndusk_5,0\ndusk_10,0\nlost_5,0\n");
  options_.formats = {"kaggle"};
  auto results = writer();
  results.write(kDusk, {.scores = rows_of({{0.5F}}), .windows = 2});
  results.finish();
  EXPECT_EQ(out("submission.csv"), "row_id,noise\ndusk_5,0.5\ndusk_10,0.5\nlost_5,0.5\n");
  EXPECT_EQ(results.rows_filled(), 2);
}

// Events

RecordingRows with_frames(const Table& frames, std::int64_t frames_per_window) {
  return {.scores = rows_of(Table(frames.size(), {1.0F, 1.0F})),
          .frames = rows_of(frames),
          .frames_per_window = frames_per_window,
          .windows = static_cast<std::int64_t>(frames.size())};
}

TEST_F(ResultWriterTest, ListsEventsOfTheFrameWiseOutput) {
  context_.labels = {kTit, kNoise};
  options_.formats = {"csv", "kaleidoscope"};
  auto results = writer({.events = EventRule{1, 0.5, 0.25}});
  results.write(kDusk, with_frames({{0, 0, 0, 0.5F, 0.9F, 0.9F, 0.3F, 0.1F, 0, 0}, {0.6F, 0.3F, 0, 0, 0, 0, 0, 0, 0, 0}}, 5));
  results.write(kDawn, with_frames({{0, 0, 0, 0, 1, 0, 0, 0, 0, 0}}, 5));
  results.finish();
  EXPECT_EQ(lines(),
            "0.0,2.0,noise,noise,0.9000,dusk.flac\n3.0,7.0,Parus major,Great Tit,0.9000,dusk.flac\n"
            "4.0,5.0,Parus major,Great Tit,1.0000,field/site 1/dawn.wav\n");
}

TEST_F(ResultWriterTest, GivesEventsTheThresholdsSpeciesAndMergingOfTheRun) {
  context_.labels = {kTit, kNoise};
  std::ofstream(dir_ / "thresholds.csv") << "class,threshold\nGreat Tit,0.8\n";
  std::ofstream(dir_ / "list.txt") << "Great Tit\n";
  auto results = writer({.merge_gap_s = 1,
                         .species_list = dir_ / "list.txt",
                         .thresholds = dir_ / "thresholds.csv",
                         .events = EventRule{1, 0.5, 0.25}});
  // Low becomes 0.4. Two events one frame apart are one; 0.7 is none.
  results.write(kDusk, with_frames({{0.39F, 0.8F, 0.3F, 0.9F, 0.4F, 1, 1, 1, 1, 1}, {0, 0, 0, 0.7F, 0, 1, 1, 1, 1, 1}}, 5));
  results.finish();
  EXPECT_EQ(lines(), "1.0,5.0,Parus major,Great Tit,0.9000,dusk.flac\n");
}

TEST_F(ResultWriterTest, NeedsFramesForEvents) {
  context_.labels = {kNoise};
  auto results = writer({.events = EventRule{}});
  EXPECT_THROW(results.write(kDusk, scored({{0.5F}})), Error);
}

// Embeddings

TEST_F(ResultWriterTest, WritesEmbeddingsWithAnIndex) {
  context_.labels = {kNoise};
  options_.formats = {"npy"};
  options_.embeddings = true;
  auto results = writer();
  auto rows = scored({{0.5F}, {0.25F}});
  rows.embeddings = rows_of({{1, 2, 3}, {4, 5, 6}});
  results.write(kDusk, rows);
  results.finish();
  const auto npy = read_npy(context_.out_dir / "embeddings.npy");
  EXPECT_EQ(npy.shape, (Shape{2, 3}));
  EXPECT_THAT(npy.values, ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_EQ(out("embeddings.index.csv"), out("scores.index.csv"));
  EXPECT_THAT(results.files(), ElementsAre(context_.out_dir / "scores.npy", context_.out_dir / "scores.index.csv",
                                           context_.out_dir / "embeddings.npy", context_.out_dir / "embeddings.index.csv"));
}

TEST_F(ResultWriterTest, RefusesScoresThatAreABrokenPromise) {
  auto results = writer();
  EXPECT_THROW(results.write(kDusk, scored({{0.5F}})), Error);
}

TEST_F(ResultWriterTest, ChecksRecordingsForEveryFormat) {
  options_.formats = {"csv", "audacity"};
  EXPECT_THROW(writer().check_recordings(std::vector<RecordingName>{{"one/a.wav", "a.wav"}, {"two/a.wav", "a.wav"}}), Error);
}

}  // namespace
}  // namespace whimbrel
