#include <gmock/gmock.h>

#include <filesystem>
#include <limits>

#include "pipeline/formats_fixture.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Kaggle = FormatsTest;

TEST_F(Kaggle, NamesRowsByStemAndWindowEnd) {
  context_.labels = {{"asbfly", "asbfly", "asbfly"}, {"a,b", "a,b", "a,b"}};
  run("kaggle",
      {{{"t/soundscape_1.ogg", "soundscape_1.ogg"}, {{0.5F, 1e-5F}, {1.0F, 0.0F}}}, {{"x.y.wav", "x.y.wav"}, {{0.1F, 0.3F}}}});
  EXPECT_EQ(out("submission.csv"),
            "row_id,asbfly,\"a,b\"\n"
            "soundscape_1_5,0.5,1e-05\n"
            "soundscape_1_10,1,0\n"
            "x.y_5,0.1,0.3\n");
}

TEST_F(Kaggle, RowsEndWhereTheirWindowEnds) {
  context_.labels = {kNoise};
  context_.grid = {.sample_rate_hz = 22050, .window_samples = 5 * 22050, .hop_samples = 2 * 22050};
  run("kaggle", {{kDusk, {{0.0F}, {0.0F}, {0.0F}}}});
  EXPECT_EQ(out("submission.csv"), "row_id,noise\ndusk_5,0\ndusk_7,0\ndusk_9,0\n");
}

TEST_F(Kaggle, RefusesWindowsThatDoNotEndOnWholeSeconds) {
  context_.grid.hop_samples = 80000;
  EXPECT_THAT(refusal("kaggle"), AllOf(HasSubstr("windows of 5.0 s every 2.5 s"), HasSubstr("use another hop")));
  context_.grid = {.sample_rate_hz = 32000, .window_samples = 48000, .hop_samples = 32000};
  EXPECT_THAT(refusal("kaggle"), HasSubstr("windows of 1.5 s every 1.0 s"));
  EXPECT_THAT(listing(), IsEmpty());
}

TEST_F(Kaggle, KeepsEveryBitOfAScore) {
  std::vector<float> scores = {std::numeric_limits<float>::min(), 1.0F - std::numeric_limits<float>::epsilon() / 2,
                               1.0F / 3.0F};
  run("kaggle", {{kDusk, {scores}}});
  const CsvTable table = read_csv(context_.out_dir / "submission.csv");
  for (std::size_t i = 0; i < scores.size(); ++i) EXPECT_EQ(std::stof(table.rows.at(0).at(i + 1)), scores[i]);
}

TEST_F(Kaggle, QuotesRowIdsAndKeepsThemOnOneLine) {
  context_.labels = {kNoise};
  run("kaggle", {{{"a,\"b\"\nc.wav", "a,\"b\"\nc.wav"}, {{0.5F}}}});
  EXPECT_EQ(out("submission.csv"), "row_id,noise\n\"a,\"\"b\"\" c_5\",0.5\n");
}

TEST_F(Kaggle, NamesTwoRecordingsThatWouldShareRowIds) {
  const auto format = make_format("kaggle", context_);
  EXPECT_THAT(refusal_of(*format, {kDawn, kDusk, {"other/dawn.ogg", "dawn.ogg"}}),
              AllOf(HasSubstr("field/site 1/dawn.wav"), HasSubstr("other/dawn.ogg"), HasSubstr("dawn_<seconds>")));
  EXPECT_EQ(refusal_of(*format, {kDawn, kDusk}), "");
}

// With a sample submission

TEST_F(Kaggle, SampleSubmissionFixesColumnsRowsAndTheirOrder) {
  context_.labels = {{"a", "a", "a"}, {"b", "b", "b"}, {"c", "c", "c"}};
  write_sample("row_id,c,a,b\ndusk_10,0.3,0.3,0.3\ndawn_5,0.3,0.3,0.3\ndusk_5,0.3,0.3,0.3\n");
  keep_log();
  const auto format = make_format("kaggle", context_);
  feed(*format, {kDawn, {{0.1F, 0.2F, 0.3F}}});
  feed(*format, {kDusk, {{0.4F, 0.5F, 0.6F}, {0.7F, 0.8F, 0.9F}}});
  format->finish();
  EXPECT_EQ(out("submission.csv"), "row_id,c,a,b\ndusk_10,0.9,0.7,0.8\ndawn_5,0.3,0.1,0.2\ndusk_5,0.6,0.4,0.5\n");
  EXPECT_EQ(format->rows_filled(), 0);
  EXPECT_EQ(log_, "");
}

TEST_F(Kaggle, SampleRowsWithoutARecordingHoldTheMeanOfTheRowsScored) {
  context_.labels = {{"a", "a", "a"}, {"b", "b", "b"}};
  write_sample("row_id,b,a\nlost_5,0,0\ndusk_5,0,0\ndusk_10,0,0\nlost_10,0,0\n");
  keep_log();
  const auto format = make_format("kaggle", context_);
  // The third window is no row of the sample: it is left out, of the mean too.
  feed(*format, {kDusk, {{0.25F, 0.0F}, {0.5F, 1.0F}, {1.0F, 1.0F}}});
  format->finish();
  EXPECT_EQ(out("submission.csv"), "row_id,b,a\nlost_5,0.5,0.375\ndusk_5,0,0.25\ndusk_10,1,0.5\nlost_10,0.5,0.375\n");
  EXPECT_EQ(format->rows_filled(), 2);
  EXPECT_THAT(log_, AllOf(HasSubstr("2 of 4 rows"), HasSubstr("1 scored windows are not rows of the sample")));
}

TEST_F(Kaggle, SampleRowsAreZeroWhenNothingWasScored) {
  context_.labels = {kNoise};
  write_sample("row_id,noise\nlost_5,0.5\n");
  const auto format = make_format("kaggle", context_);
  format->finish();
  EXPECT_EQ(out("submission.csv"), "row_id,noise\nlost_5,0\n");
  EXPECT_EQ(format->rows_filled(), 1);
}

TEST_F(Kaggle, SampleSubmissionLeavesOutLabelsWithoutAColumnAndSaysSo) {
  context_.labels = {{"a", "a", "a"}, {"b", "b", "b"}, {"c", "c", "c"}};
  write_sample("row_id,c\r\n\"dusk_5\",0\r\n");
  keep_log();
  run("kaggle", {{kDusk, {{0.1F, 0.2F, 0.3F}}}});
  EXPECT_EQ(out("submission.csv"), "row_id,c\ndusk_5,0.3\n");
  EXPECT_THAT(log_, HasSubstr("2 of the model's 3 labels have no column and are left out (the first is \"a\")"));
}

TEST_F(Kaggle, SampleSubmissionWithAColumnThatIsNoLabelIsRefused) {
  context_.labels = {{"grnjay1", "grnjay1", "grnjay1"}, {"noise", "noise", "noise"}};
  write_sample("row_id,noise,grnjay\ndusk_5,0,0\n");
  EXPECT_THAT(refusal("kaggle"), AllOf(HasSubstr("sample_submission.csv:1"), HasSubstr("column \"grnjay\""),
                                       HasSubstr("did you mean \"grnjay1\"?")));
  write_sample("row_id,owl\n");
  EXPECT_THAT(refusal("kaggle"), AllOf(HasSubstr("column \"owl\""), HasSubstr("classes of this model")));
}

TEST_F(Kaggle, SampleSubmissionWithARowTwiceIsRefused) {
  context_.labels = {kNoise};
  write_sample("row_id,noise\ndusk_5,0\ndawn_5,0\ndusk_5,0\n");
  EXPECT_THAT(refusal("kaggle"), AllOf(HasSubstr("sample_submission.csv:4"), HasSubstr("\"dusk_5\"")));
}

TEST_F(Kaggle, SampleSubmissionThatIsNotThereIsRefused) {
  context_.sample_submission = dir_ / "none.csv";
  EXPECT_THAT(refusal("kaggle", ErrorCode::not_found), HasSubstr("none.csv"));
}

TEST_F(Kaggle, OtherFormatsIgnoreTheSampleSubmission) {
  context_.sample_submission = dir_ / "none.csv";
  EXPECT_NO_THROW(run("csv", {}));
}

}  // namespace
}  // namespace whimbrel
