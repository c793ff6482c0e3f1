#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "pipeline/formats_fixture.h"
#include "pipeline/formats_kinds.h"
#include "pipeline/formats_text.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using AbsoluteTime = FormatsTest;

constexpr RecordingTime kFive = {1'682'910'000'000'000, 120, RecordingTimeSource::guano};  // 2023-05-01T05:00:00+02:00

RecordingName began(RecordingName name, std::optional<RecordingTime> time) {
  name.began = time;
  return name;
}

std::string file_of(const std::string& name) {
  if (name == "npy") return "scores.index.csv";
  if (name == "raven") return "site 1/dawn.wav.selections.txt";
  if (name == "audacity") return "site 1/dawn.wav.txt";
  if (name == "kaggle") return "submission.csv";
  return name == "jsonl" ? "detections.jsonl" : name == "csv" ? "detections.csv" : "kaleidoscope.csv";
}

TEST_F(AbsoluteTime, IsWrittenAsTheDocumentationShows) {
  std::string text = slurp(WHIMBREL_SOURCE_DIR "/docs/formats.md");
  const std::string tab = "\u21b9";
  for (auto at = text.find(tab); at != std::string::npos; at = text.find(tab, at)) text.replace(at, tab.size(), "\t");
  text = text.substr(text.find("\n## With `--absolute-time`"));
  context_.absolute_time = true;
  for (const std::string name : {"csv", "jsonl", "kaleidoscope", "raven", "npy"}) {
    SCOPED_TRACE(name);
    run(name, {{began(kDawn, kFive), {{0.5F, 0.75F, 0.0F}, {0.0F, 0.0F, 0.25F}}}});
    const std::string heading = "\n`" + name + "`", fence = "\n```\n";
    ASSERT_NE(text.find(heading), std::string::npos);
    const auto begin = text.find(fence, text.find(heading)) + fence.size();
    const auto end = text.find("\n```", begin) + 1;
    EXPECT_EQ(out(file_of(name)), text.substr(begin, end - begin));
  }
}

TEST_F(AbsoluteTime, ChangesNothingWhereItIsNotAskedForOrHasNoPlace) {
  for (const auto& name : format_names()) {
    SCOPED_TRACE(name);
    context_.absolute_time = false;
    run(name, {{kDawn, {{0.5F, 0.75F, 0.0F}}}});
    const auto plain = out(file_of(name));
    run(name, {{began(kDawn, kFive), {{0.5F, 0.75F, 0.0F}}}});
    EXPECT_EQ(out(file_of(name)), plain);
    context_.absolute_time = true;
    run(name, {{began(kDawn, kFive), {{0.5F, 0.75F, 0.0F}}}});
    EXPECT_EQ(out(file_of(name)) == plain, name == "kaggle" || name == "audacity");
  }
}

TEST_F(AbsoluteTime, IsEmptyWhereTheRecordingDoesNotSay) {
  context_.absolute_time = true;
  context_.labels = {kNoise};
  const auto last_line = [&](const std::string& name) {
    run(name, {{kDawn, {{0.5F}}}});
    const auto text = out(file_of(name));
    return text.substr(text.rfind('\n', text.size() - 2) + 1);
  };
  EXPECT_EQ(last_line("csv"), "0.0,5.0,noise,noise,0.5000,field/site 1/dawn.wav,,\n");
  EXPECT_EQ(last_line("raven"),
            "1\tSpectrogram 1\t1\t0.0\t5.0\t0\t16000\tnoise\tnoise\t0.5000\tfield/site 1/dawn.wav\t0.0\t\n");
  EXPECT_EQ(last_line("kaleidoscope"), "field,site 1,dawn.wav,0.0,5.0,noise,0.5000,,,\n");
  EXPECT_EQ(last_line("npy"), "0,field/site 1/dawn.wav,0.0,5.0,,\n");
  run("jsonl", {{kDawn, {{0.5F}}}});
  const auto row = nlohmann::json::parse(out("detections.jsonl"));
  EXPECT_TRUE(row.at("start_time").is_null() && row.at("end_time").is_null());
}

TEST_F(AbsoluteTime, IsOfTheRecordersClockWhereTheFormatHasNoZone) {
  context_.absolute_time = true;
  context_.labels = {kNoise};
  context_.grid.hop_samples = 32000 * 3600 / 2;  // half an hour
  const RecordingTime late{kFive.unix_us + 17 * 3'600'000'000 + 1'800'000'000 + 250'000, -570, RecordingTimeSource::bext};
  run("kaleidoscope", {{began(kDawn, late), {{0.0F}, {0.0F}, {0.0F}, {0.5F}, {0.5F}}}});
  // 20:30:00.25 UTC is 11:00:00.25 there.
  EXPECT_THAT(out("kaleidoscope.csv"), AllOf(HasSubstr("2023-05-01,12:30:00,12\n"), HasSubstr("2023-05-01,13:00:00,13\n")));
  run("raven", {{began(kDawn, late), {{0.0F}, {0.0F}, {0.0F}, {0.5F}}}});
  EXPECT_THAT(out("site 1/dawn.wav.selections.txt"), HasSubstr("\t2023/05/01 12:30:00.250\n"));
  // Across midnight, of a clock without a zone.
  const RecordingTime unknown{kFive.unix_us + 20 * 3'600'000'000, std::nullopt, RecordingTimeSource::file_name};
  run("csv", {{began(kDawn, unknown), {{0.0F}, {0.0F}, {0.5F}}}});
  EXPECT_THAT(out("detections.csv"), HasSubstr(",2023-05-02T00:00:00.000,2023-05-02T00:00:05.000\n"));
}

TEST_F(AbsoluteTime, IsInTheIndexOfEmbeddingsToo) {
  context_.absolute_time = true;
  const auto format = make_embeddings(context_);
  feed(*format, {began(kDawn, kFive), {{1, 2}}});
  format->finish();
  EXPECT_EQ(out("embeddings.index.csv"),
            "row,file,start_s,end_s,start_time,end_time\n"
            "0,field/site 1/dawn.wav,0.0,5.0,2023-05-01T05:00:00.000+02:00,2023-05-01T05:00:05.000+02:00\n");
}

TEST_F(AbsoluteTime, ThatIsNotKnownIsOneWarning) {
  keep_log();
  RecordingResult with, without, failed;
  with.state = without.state = RecordingState::done;
  with.began = kFive;
  without.path = "a/dawn.wav";
  failed.state = RecordingState::failed;
  warn_of_unknown_times(std::vector{with, failed});
  EXPECT_THAT(log_, IsEmpty());
  warn_of_unknown_times(std::vector{with, without, failed, without});
  EXPECT_THAT(log_, AllOf(HasSubstr("2 of 3 recordings have no start time in header or name, such as a/dawn.wav")));
  EXPECT_EQ(std::ranges::count(log_, '\n'), 1);
}

}  // namespace
}  // namespace whimbrel
