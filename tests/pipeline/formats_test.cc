#include "pipeline/formats.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "pipeline/formats_fixture.h"
#include "pipeline/formats_text.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Formats = FormatsTest;

// Times

TEST(SecondsText, KeepsOneDecimalAndNoNeedlessZero) {
  EXPECT_EQ(seconds_text(0, 32000), "0.0");
  EXPECT_EQ(seconds_text(96000, 32000), "3.0");
  EXPECT_EQ(seconds_text(144000, 32000), "4.5");
  EXPECT_EQ(seconds_text(33075, 22050), "1.5");
  EXPECT_EQ(seconds_text(8, 32000), "0.00025");
  EXPECT_EQ(seconds_text(320000, 32000), "10.0");
}

TEST(SecondsText, RoundsToTheNearestMicrosecond) {
  EXPECT_EQ(seconds_text(1, 3), "0.333333");
  EXPECT_EQ(seconds_text(2, 3), "0.666667");
  EXPECT_EQ(seconds_text(1, 44100), "0.000023");
  EXPECT_EQ(seconds_text(2'999'999, 3'000'000), "1.0");  // 0.99999966…
}

TEST(SecondsText, IsExactAfterAYearOfWindows) {
  // 1.5 s at 22050 Hz; in float32 a year of them is off by more than a window.
  const std::int64_t windows = 365LL * 24 * 3600 * 2 / 3;
  EXPECT_EQ(seconds_text((windows + 1) * 33075, 22050), "31536001.5");
}

// Golden bytes

TEST_F(Formats, WriteWhatTheDocumentationShows) {
  std::string text = slurp(WHIMBREL_SOURCE_DIR "/docs/formats.md");
  const std::string tab = "\u21b9";
  for (auto at = text.find(tab); at != std::string::npos; at = text.find(tab, at)) text.replace(at, tab.size(), "\t");
  // The run that the document describes, and the first example under each format's heading.
  for (const auto& name : format_names()) {
    SCOPED_TRACE(name);
    run(name, {{kDawn, {{0.5F, 0.75F, 0.0F}, {0.0F, 0.0F, 0.25F}}}});
    const std::string heading = "\n## " + name + ": ", fence = "\n```\n";
    ASSERT_NE(text.find(heading), std::string::npos);
    const auto begin = text.find(fence, text.find(heading)) + fence.size();
    const auto end = text.find("\n```", begin) + 1;
    const auto file = name == "npy"        ? "scores.index.csv"
                      : name == "raven"    ? "site 1/dawn.wav.selections.txt"
                      : name == "audacity" ? "site 1/dawn.wav.txt"
                                           : make_format(name, context_)->files().front().filename();
    EXPECT_EQ(out(file), text.substr(begin, end - begin));
  }
}

TEST_F(Formats, CsvIsAsDocumented) {
  threshold_ = 0.25;
  run("csv", {{kDawn, {{0.25F, 0.8141F, 0.1F}, {0.0F, 0.0F, 0.0F}, {0.0F, 0.0F, 1.0F}}}, {kDusk, {{0.3F, 0.0F, 0.0F}}}});
  EXPECT_EQ(out("detections.csv"),
            "Start (s),End (s),Scientific name,Common name,Confidence,File\n"
            "0.0,5.0,Parus major,Great Tit,0.8141,field/site 1/dawn.wav\n"
            "0.0,5.0,Poecile atricapillus,Black-capped Chickadee,0.2500,field/site 1/dawn.wav\n"
            "10.0,15.0,noise,noise,1.0000,field/site 1/dawn.wav\n"
            "0.0,5.0,Poecile atricapillus,Black-capped Chickadee,0.3000,dusk.flac\n");
}

TEST_F(Formats, CsvTimesFollowTheHopInSamples) {
  context_.grid = {.sample_rate_hz = 22050, .window_samples = 66150, .hop_samples = 33075};
  context_.labels = {kNoise};
  run("csv", {{kDusk, {{1.0F}, {1.0F}, {1.0F}}}});
  EXPECT_EQ(out("detections.csv"),
            "Start (s),End (s),Scientific name,Common name,Confidence,File\n"
            "0.0,3.0,noise,noise,1.0000,dusk.flac\n"
            "1.5,4.5,noise,noise,1.0000,dusk.flac\n"
            "3.0,6.0,noise,noise,1.0000,dusk.flac\n");
}

TEST_F(Formats, CsvQuotesWhatHoldsACommaOrAQuote) {
  context_.labels = {{"x", "Larus sp., large", "the \"herring\" gull"}};
  run("csv", {{{"a,b.wav", "a,b.wav"}, {{0.5F}}}});
  const CsvTable table = read_csv(context_.out_dir / "detections.csv");
  EXPECT_THAT(table.rows,
              ElementsAre(ElementsAre("0.0", "5.0", "Larus sp., large", "the \"herring\" gull", "0.5000", "a,b.wav")));
}

TEST_F(Formats, RavenIsAsDocumented) {
  run("raven", {{kDawn, {{0.5F, 0.75F, 0.0F}, {0.5F, 0.0F, 0.0F}}}, {kDusk, {{0.0F, 0.0F, 0.0F}}}});
  const std::string header =
      "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tCommon Name\tSpecies Code\t"
      "Confidence\tBegin Path\tFile Offset (s)\n";
  EXPECT_EQ(
      out("site 1/dawn.wav.selections.txt"),
      header +
          "1\tSpectrogram 1\t1\t0.0\t5.0\t0\t16000\tGreat Tit\tParus major_Great Tit\t0.7500\tfield/site 1/dawn.wav\t0.0\n"
          "2\tSpectrogram 1\t1\t0.0\t5.0\t0\t16000\tBlack-capped Chickadee\tPoecile atricapillus_Black-capped Chickadee\t"
          "0.5000\tfield/site 1/dawn.wav\t0.0\n"
          "3\tSpectrogram 1\t1\t5.0\t10.0\t0\t16000\tBlack-capped Chickadee\tPoecile atricapillus_Black-capped Chickadee\t"
          "0.5000\tfield/site 1/dawn.wav\t5.0\n");
  EXPECT_EQ(out("dusk.flac.selections.txt"), header);  // nothing was found
}

TEST_F(Formats, RavenNumbersSelectionsAnewInEachFile) {
  context_.labels = {kNoise};
  run("raven", {{kDusk, {{1.0F}}}, {kDawn, {{1.0F}}}});
  EXPECT_THAT(out("dusk.flac.selections.txt"), HasSubstr("\n1\t"));
  EXPECT_THAT(out("site 1/dawn.wav.selections.txt"), HasSubstr("\n1\t"));
}

TEST_F(Formats, AudacityIsAsDocumented) {
  run("audacity", {{kDawn, {{0.5F, 0.0F, 0.75F}}}, {kDusk, {{0.0F, 0.0F, 0.0F}}}});
  EXPECT_EQ(out("site 1/dawn.wav.txt"),
            "0.0\t5.0\tnoise\t0.7500\n"
            "0.0\t5.0\tPoecile atricapillus, Black-capped Chickadee\t0.5000\n");
  EXPECT_EQ(out("dusk.flac.txt"), "");
}

TEST_F(Formats, KaleidoscopeIsAsDocumented) {
  context_.grid.hop_samples = 80000;
  run("kaleidoscope", {{kDawn, {{0.5F, 0.0F, 0.0F}, {0.0F, 0.75F, 0.0F}}},
                       {kDusk, {{0.0F, 0.0F, 0.25F}}},
                       {{"/data/2024, May/x.wav", "x.wav"}, {{0.0F, 0.0F, 0.25F}}}});
  EXPECT_EQ(out("kaleidoscope.csv"),
            "INDIR,FOLDER,IN FILE,OFFSET,DURATION,TOP1MATCH,TOP1DIST\n"
            "field,site 1,dawn.wav,0.0,5.0,Black-capped Chickadee,0.5000\n"
            "field,site 1,dawn.wav,2.5,5.0,Great Tit,0.7500\n"
            ".,,dusk.flac,0.0,5.0,noise,0.2500\n"
            "\"/data/2024, May\",,x.wav,0.0,5.0,noise,0.2500\n");
}

TEST_F(Formats, JsonlIsAsDocumented) {
  run("jsonl", {{kDawn, {{0.0F, 0.1F, 1.0F}}}});
  EXPECT_EQ(out("detections.jsonl"),
            R"({"file":"field/site 1/dawn.wav","start_s":0.0,"end_s":5.0,"label":"noise","scientific_name":"noise",)"
            R"("common_name":"noise","confidence":1})"
            "\n"
            R"({"file":"field/site 1/dawn.wav","start_s":0.0,"end_s":5.0,"label":"Parus major_Great Tit",)"
            R"("scientific_name":"Parus major","common_name":"Great Tit","confidence":0.1})"
            "\n");
}

TEST_F(Formats, JsonlLinesAreJsonWhateverTheNames) {
  context_.labels = {{"a\"b\\c\t", "a\"b\\c\t", "Grünfink"}};
  threshold_ = 0;
  run("jsonl", {{{"line\nbreak \xff.wav", "line\nbreak \xff.wav"}, {{1e-20F}}}});
  const std::string text = out("detections.jsonl");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  const auto row = nlohmann::json::parse(text);
  EXPECT_EQ(row["file"], "line\nbreak \xef\xbf\xbd.wav");  // a byte that is no UTF-8 becomes U+FFFD
  EXPECT_EQ(row["scientific_name"], "a\"b\\c\t");
  EXPECT_EQ(row["common_name"], "Grünfink");
  EXPECT_EQ(row["confidence"].get<float>(), 1e-20F);
}

TEST_F(Formats, NpyHoldsAllScoresAndItsIndexSaysOfWhat) {
  run("npy", {{kDawn, {{0.1F, 0.2F, 0.3F}, {0.4F, 0.5F, 0.6F}}}, {{"a,b.wav", "a,b.wav"}, {{0.7F, 0.8F, 0.9F}}}});
  const NpyArray scores = read_npy(context_.out_dir / "scores.npy");
  EXPECT_THAT(scores.shape, ElementsAre(3, 3));
  EXPECT_THAT(scores.values, ElementsAre(0.1F, 0.2F, 0.3F, 0.4F, 0.5F, 0.6F, 0.7F, 0.8F, 0.9F));
  EXPECT_EQ(out("scores.index.csv"),
            "row,file,start_s,end_s\n"
            "0,field/site 1/dawn.wav,0.0,5.0\n"
            "1,field/site 1/dawn.wav,5.0,10.0\n"
            "2,\"a,b.wav\",0.0,5.0\n");
}

TEST_F(Formats, NpyCopiesMoreThanOneBlock) {
  // 2 x 150000 scores: more than the 2^18 that finish() holds at a time, and no multiple of it.
  context_.labels.assign(150000, kNoise);
  std::vector<float> row(150000);
  for (std::size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(i);
  run("npy", {{kDusk, {row, row}}});
  const NpyArray scores = read_npy(context_.out_dir / "scores.npy");
  ASSERT_THAT(scores.shape, ElementsAre(2, 150000));
  ASSERT_EQ(scores.values.size(), 300000U);
  EXPECT_TRUE(std::equal(row.begin(), row.end(), scores.values.begin()));
  EXPECT_TRUE(std::equal(row.begin(), row.end(), scores.values.begin() + 150000));
}

TEST_F(Formats, NpyOfNothingIsAnEmptyArray) {
  run("npy", {});
  EXPECT_THAT(read_npy(context_.out_dir / "scores.npy").shape, ElementsAre(0, 3));
  EXPECT_EQ(out("scores.index.csv"), "row,file,start_s,end_s\n");
}

TEST_F(Formats, TabSeparatedFormatsReplaceTabsAndLineBreaksBySpaces) {
  context_.labels = {{"a\tb", "a\tb", "c\r\nd\x7f"}};
  const RecordingName odd = {"in/x\ty\n.wav", "x\ty\n.wav"};
  run("raven", {{odd, {{0.5F}}}});
  EXPECT_THAT(out("x\ty\n.wav.selections.txt"),
              HasSubstr("\n1\tSpectrogram 1\t1\t0.0\t5.0\t0\t16000\tc  d \ta b\t0.5000\tin/x y .wav\t0.0\n"));
  run("audacity", {{odd, {{0.5F}}}});
  EXPECT_EQ(out("x\ty\n.wav.txt"), "0.0\t5.0\ta b, c  d \t0.5000\n");
}

// Files

TEST_F(Formats, NothingAppearsBeforeFinishAndNothingStaysWithoutIt) {
  for (const std::string name : {"kaggle", "csv", "kaleidoscope", "jsonl", "npy"}) {
    SCOPED_TRACE(name);
    {
      const auto format = make_format(name, context_);
      feed(*format, {kDusk, {{0.5F, 0.5F, 0.5F}}});
      for (const auto& file : format->files()) EXPECT_FALSE(fs::exists(file)) << file;
    }
    EXPECT_THAT(listing(), IsEmpty());
    const auto format = make_format(name, context_);
    format->finish();
    for (const auto& file : format->files()) EXPECT_TRUE(fs::exists(file)) << file;
    fs::remove_all(context_.out_dir);
    fs::create_directories(context_.out_dir);
  }
}

TEST_F(Formats, ARecordingsOwnFileAppearsWhenTheRecordingEnds) {
  for (const std::string name : {"raven", "audacity"}) {
    SCOPED_TRACE(name);
    const auto format = make_format(name, context_);
    EXPECT_THAT(format->files(), ElementsAre(context_.out_dir / (name == "raven" ? "*.selections.txt" : "*.txt")));
    format->begin_recording(kDusk);
    give(*format, 0, std::vector<float>{0.5F, 0.5F, 0.5F});
    EXPECT_FALSE(fs::exists(context_.out_dir / (name == "raven" ? "dusk.flac.selections.txt" : "dusk.flac.txt")));
    format->end_recording();
    EXPECT_TRUE(fs::exists(context_.out_dir / (name == "raven" ? "dusk.flac.selections.txt" : "dusk.flac.txt")));
  }
}

TEST_F(Formats, AnInterruptedRunLeavesValidFilesWithWhatThereIs) {
  context_.labels = {kNoise};
  for (const auto& name : format_names()) {
    const auto format = make_format(name, context_);
    feed(*format, {kDusk, {{0.5F}}});
    format->begin_recording(kDawn);
    give(*format, 0, std::vector<float>{0.25F});
    format->finish();
  }
  // Of the recording that did not end, run-wide files keep the window that came; its own files are not written.
  EXPECT_THAT(listing(), ElementsAre("detections.csv", "detections.jsonl", "dusk.flac.selections.txt", "dusk.flac.txt",
                                     "kaleidoscope.csv", "scores.index.csv", "scores.npy", "submission.csv"));
  EXPECT_EQ(out("submission.csv"), "row_id,noise\ndusk_5,0.5\ndawn_5,0.25\n");
  EXPECT_THAT(read_npy(context_.out_dir / "scores.npy").values, ElementsAre(0.5F, 0.25F));
  EXPECT_EQ(read_csv(context_.out_dir / "detections.csv").rows.size(), 2U);
}

TEST_F(Formats, TwoRecordingsForOneFileAreNamed) {
  for (const std::string name : {"raven", "audacity"}) {
    const auto format = make_format(name, context_);
    EXPECT_THAT(refusal_of(*format, {{"one/a.wav", "a.wav"}, {"two/a.wav", "./a.wav"}}),
                AllOf(HasSubstr("--format " + name), HasSubstr("one/a.wav"), HasSubstr("two/a.wav")));
    EXPECT_EQ(refusal_of(*format, {{"one/a.wav", "a.wav"}, {"one/a.flac", "a.flac"}}), "");
  }
}

TEST_F(Formats, FormatsWithoutNamesToShareTakeAnyRecordings) {
  for (const std::string name : {"csv", "kaleidoscope", "jsonl", "npy"}) {
    EXPECT_EQ(refusal_of(*make_format(name, context_), {{"one/a.wav", "a.wav"}, {"two/a.wav", "a.wav"}}), "") << name;
  }
}

TEST_F(Formats, NoOutputLeavesItsFolder) {
  const auto format = make_format("audacity", context_);
  for (const std::string relative : {"../a.wav", "x/../../a.wav", "/tmp/a.wav", "", "x/"}) {
    const RecordingName recording = {"in/a.wav", relative};
    EXPECT_THAT(refusal_of(*format, {recording}), HasSubstr("below the output folder")) << relative;
    EXPECT_THROW(format->begin_recording(recording), Error) << relative;
  }
}

TEST_F(Formats, NoOutputGoesThroughALinkOutOfItsFolder) {
  fs::create_directories(dir_ / "elsewhere");
  fs::create_directories(context_.out_dir / "real");
  fs::create_directory_symlink(dir_ / "elsewhere", context_.out_dir / "sub");
  fs::create_directory_symlink("real", context_.out_dir / "near");
  fs::create_symlink(dir_ / "elsewhere" / "a.wav", context_.out_dir / "a.wav");  // a recording there may be a link
  const auto format = make_format("raven", context_);
  EXPECT_THAT(refusal_of(*format, {{"in/a.wav", "a.wav"}, {"in/sub/b.wav", "sub/b.wav"}}),
              AllOf(HasSubstr("in/sub/b.wav"), HasSubstr("through a link")));
  EXPECT_THAT(refusal_of(*format, {{"in/sub/x/b.wav", "sub/x/b.wav"}}), HasSubstr("through a link"));
  EXPECT_EQ(refusal_of(*format, {{"in/a.wav", "a.wav"}, {"in/near/b.wav", "near/b.wav"}, {"in/new/c.wav", "new/c.wav"}}), "");
}

TEST_F(Formats, NamesThatASpreadsheetWouldComputeAreTold) {
  std::vector<std::string> said;
  set_log_sink([&](LogLevel, std::string_view message) { said.emplace_back(message); });
  const std::vector<RecordingName> plain = {{"in/a.wav", "a.wav"}}, formula = {{"in/=1+1.wav", "=1+1.wav"}};
  const std::vector<std::string> csv = {"jsonl", "csv"}, json = {"jsonl"};
  const std::vector<Label> labels = {kTit, {"@SUM(A1)_x", "@SUM(A1)_x", "@SUM(A1)_x"}};
  warn_of_formulas(csv, context_.labels, plain);
  warn_of_formulas(json, labels, formula);
  EXPECT_THAT(said, IsEmpty());
  warn_of_formulas(csv, context_.labels, formula);
  warn_of_formulas(csv, labels, formula);
  EXPECT_THAT(said, ElementsAre(HasSubstr("\"=1+1.wav\""), HasSubstr("\"@SUM(A1)_x\"")));
}

TEST_F(Formats, LabelsStayAsTheyAreEvenWhereASpreadsheetWouldComputeThem) {
  context_.labels = {{"=1+1", "=1+1", "=1+1"}, kTit, kNoise};
  run("csv", {{kDusk, {{0.9F, 0, 0}}}});
  EXPECT_THAT(out("detections.csv"), HasSubstr(",=1+1,=1+1,0.9000,"));
}

// Refusals

TEST_F(Formats, AnUnknownNameIsAnsweredWithTheClosest) {
  EXPECT_THAT(refusal("kagle"),
              AllOf(HasSubstr("\"kagle\""), HasSubstr("did you mean \"kaggle\"?"), HasSubstr("raven, audacity")));
  EXPECT_THAT(refusal("spreadsheet"), ::testing::Not(HasSubstr("did you mean")));
}

TEST_F(Formats, EveryNameCanBeMade) {
  for (const auto& name : format_names()) EXPECT_NO_THROW(make_format(name, context_)) << name;
}

TEST_F(Formats, ValuesOutOfRangeAreRefused) {
  const FormatContext good = context_;
  context_.labels.clear();
  EXPECT_THAT(refusal("csv"), HasSubstr("0 labels"));
  context_ = good;
  context_.grid.hop_samples = 0;
  EXPECT_THAT(refusal("csv"), HasSubstr("every 0 at 32000 Hz"));
}

TEST_F(Formats, AnOutputFolderThatCannotBeWrittenIsRefusedAtOnce) {
  std::ofstream(dir_ / "file") << "no folder";
  context_.out_dir = dir_ / "file";
  EXPECT_THAT(refusal("csv", ErrorCode::io), HasSubstr("file"));
}

TEST_F(Formats, RowsOfAnotherLengthOrNotFiniteAreABrokenPromise) {
  for (const std::string name : {"kaggle", "npy"}) {
    const auto format = make_format(name, context_);
    format->begin_recording(kDusk);
    for (const auto& row :
         {std::vector<float>{0.5F}, std::vector<float>{0.5F, std::numeric_limits<float>::quiet_NaN(), 0.5F}}) {
      try {
        format->window(0, row);
        ADD_FAILURE() << name;
      } catch (const Error& error) {
        EXPECT_EQ(to_string(error.code()), "internal") << name;
      }
    }
  }
}

}  // namespace
}  // namespace whimbrel
