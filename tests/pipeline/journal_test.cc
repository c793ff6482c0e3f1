#include "pipeline/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "pipeline/resume.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsNull;
using ::testing::NotNull;

constexpr auto kSettings = R"({"models":[{"batch":1,"model":"ab"}],"whimbrel":"1"})";

class JournalTest : public ::testing::Test {
 protected:
  JournalTest() {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    for (const auto* name : {"a.wav", "b\xff.wav"}) {
      std::ofstream(folder_ / name) << name;
      names_.push_back({folder_ / name, name});
    }
  }
  ~JournalTest() override { std::filesystem::remove_all(folder_); }

  RecordingResult result(std::size_t recording, std::int64_t windows) const {
    RecordingResult done{.path = names_[recording].path, .windows = windows, .decoded_s = 0.1 + 1.0 / 3, .codec = "wav"};
    done.sample_rate_hz = 32000;
    done.channels = 2;
    done.non_finite_samples = 5;
    return done;
  }
  void finish(Journal& journal, std::size_t recording, std::int64_t windows) const {
    journal.finish(recording, result(recording, windows), stamp_of(names_[recording].path));
  }
  /// Rows of two values of both recordings, in turn; then the end of the process.
  void write_two() const {
    const auto journal = Journal::of_folder(folder_);
    journal->begin(kSettings, 2);
    journal->append_rows(0, std::vector{1.F, 2.F, 3.F, 4.F});
    journal->append_rows(1, std::vector{10.F, 20.F});
    journal->append_rows(0, std::vector{5.F, 6.F});
    finish(*journal, 0, 3);
    journal->append_rows(1, std::vector{30.F, 40.F});
    finish(*journal, 1, 2);
  }
  static std::vector<float> rows_of(const Journal& journal, const JournaledRecording& recording) {
    std::vector<float> all;
    for (const auto& run : recording.runs) {
      std::vector<float> rows(static_cast<std::size_t>(run.rows) * 2);
      journal.read_rows(run.position, rows);
      all.insert(all.end(), rows.begin(), rows.end());
    }
    return all;
  }
  std::filesystem::path file() const { return folder_ / ".whimbrel-journal"; }

  std::filesystem::path folder_ = std::filesystem::path(WHIMBREL_TEST_DATA_DIR) / "journal" /
                                  ::testing::UnitTest::GetInstance()->current_test_info()->name();
  std::vector<RecordingName> names_;
};

TEST_F(JournalTest, GivesBackWhatWasFinished) {
  write_two();
  const auto journal = Journal::of_folder(folder_);
  EXPECT_EQ(journal->settings(), kSettings);
  ASSERT_EQ(journal->finished().size(), 2U);
  const auto& first = journal->finished()[0];
  EXPECT_EQ(first.result.path, names_[0].path);
  EXPECT_EQ(first.result.decoded_s, 0.1 + 1.0 / 3);
  EXPECT_EQ(first.result.codec, "wav");
  EXPECT_EQ(first.result.sample_rate_hz, 32000);
  EXPECT_EQ(first.result.channels, 2);
  EXPECT_EQ(first.result.non_finite_samples, 5);
  EXPECT_EQ(first.stamp, stamp_of(names_[0].path));
  EXPECT_THAT(rows_of(*journal, first), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(rows_of(*journal, journal->finished()[1]), ElementsAre(10, 20, 30, 40));
  EXPECT_EQ(journal->finished()[1].result.path, names_[1].path) << "bytes that are no UTF-8";
}

TEST_F(JournalTest, WhereverItWasTornTheRecordingsFinishedBeforeAreThere) {
  write_two();
  const auto whole = read_file(file());
  std::size_t most = 0;
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    std::ofstream(file(), std::ios::binary) << whole.substr(0, size);
    const auto journal = Journal::of_folder(folder_);
    const auto found = journal->finished().size();
    EXPECT_GE(found, most) << size << " bytes";
    most = std::max(most, found);
    for (const auto& recording : journal->finished()) {
      EXPECT_EQ(std::ssize(rows_of(*journal, recording)), 2 * recording.result.windows);
    }
  }
  EXPECT_EQ(most, 2U);
}

TEST_F(JournalTest, NumbersOfRecordingsBeginAnewWhenItIsGoneOnWith) {
  write_two();
  {
    const auto journal = Journal::of_folder(folder_);
    journal->resume();
    journal->append_rows(0, std::vector{7.F, 8.F});  // of an interrupted recording, never finished
  }
  {
    const auto journal = Journal::of_folder(folder_);
    journal->resume();
    journal->append_rows(0, std::vector{9.F, 9.F});
    finish(*journal, 0, 1);
  }
  const auto journal = Journal::of_folder(folder_);
  ASSERT_EQ(journal->finished().size(), 3U);
  EXPECT_THAT(rows_of(*journal, journal->finished()[2]), ElementsAre(9, 9));
}

TEST_F(JournalTest, OneWhoseRowsAreNotAllThereIsNotFinished) {
  {
    const auto journal = Journal::of_folder(folder_);
    journal->begin(kSettings, 2);
    journal->append_rows(0, std::vector{1.F, 2.F});
    finish(*journal, 0, 2);
  }
  EXPECT_THAT(Journal::of_folder(folder_)->finished(), IsEmpty());
}

TEST_F(JournalTest, AnotherFileOfThatNameIsNoJournal) {
  std::ofstream(file()) << "something that someone keeps here";
  const auto journal = Journal::of_folder(folder_);
  EXPECT_EQ(journal->settings(), "");
  EXPECT_THAT(journal->finished(), IsEmpty());
}

TEST_F(JournalTest, StrictRefusesOtherSettingsAndSaysWhich) {
  write_two();
  const auto journal = Journal::of_folder(folder_);
  try {
    go_on(*journal, Resume::strict, R"({"models":[{"batch":4,"model":"ab"}],"whimbrel":"1"})", 2, names_);
    FAIL() << "went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.what(), HasSubstr("models/0/batch is 4, was 1"));
  }
}

TEST_F(JournalTest, StrictRefusesAChangedRecordingAndRedoLeavesItOut) {
  write_two();
  std::ofstream(names_[1].path) << "longer than before";
  {
    const auto journal = Journal::of_folder(folder_);
    EXPECT_THROW(go_on(*journal, Resume::strict, kSettings, 2, names_), Error);
  }
  const auto journal = Journal::of_folder(folder_);
  EXPECT_THAT(go_on(*journal, Resume::redo, kSettings, 2, names_), ElementsAre(NotNull(), IsNull()));
}

TEST_F(JournalTest, RedoForgetsAllWhereSettingsChanged) {
  write_two();
  {
    const auto journal = Journal::of_folder(folder_);
    EXPECT_THAT(go_on(*journal, Resume::redo, R"({"whimbrel":"2"})", 2, names_), ElementsAre(IsNull(), IsNull()));
    journal->append_rows(0, std::vector{1.F, 2.F});
    finish(*journal, 0, 1);
  }
  const auto journal = Journal::of_folder(folder_);
  EXPECT_EQ(journal->settings(), R"({"whimbrel":"2"})");
  EXPECT_EQ(journal->finished().size(), 1U);
}

TEST_F(JournalTest, OneInWhichNothingWasFinishedIsRemoved) {
  {
    const auto journal = Journal::of_folder(folder_);
    journal->begin(kSettings, 2);
    journal->append_rows(0, std::vector{1.F, 2.F});
  }
  EXPECT_FALSE(std::filesystem::exists(file()));
}

TEST_F(JournalTest, NewRecordingsAreWelcome) {
  write_two();
  names_.insert(names_.begin(), {folder_ / "new.wav", "new.wav"});
  const auto journal = Journal::of_folder(folder_);
  EXPECT_THAT(go_on(*journal, Resume::strict, kSettings, 2, names_), ElementsAre(IsNull(), NotNull(), NotNull()));
}

TEST(TakeEngines, TakesNoneFromWhatIsNotOurs) {
  Ensemble ensemble;
  ensemble.members.resize(1);
  for (const char* settings :
       {"no JSON", "5", "{}", R"({"models":5})", R"({"models":[]})", R"({"models":[5]})", R"({"models":[{}]})",
        R"({"models":[{"engine":"onnxruntime"}]})", R"({"models":[{"batch":4}]})",
        R"({"models":[{"engine":"steam","batch":4}]})", R"({"models":[{"engine":"onnxruntime","batch":0}]})",
        R"({"models":[{"engine":"onnxruntime","batch":18446744073709551615}]})"}) {
    take_engines(ensemble, settings);
    EXPECT_FALSE(ensemble.members[0].earlier) << settings;
  }
  take_engines(ensemble, R"({"models":[{"engine":"onnxruntime","batch":4}]})");
  EXPECT_TRUE(ensemble.members[0].earlier);
}

TEST(SettingsDifference, NamesWhatIsNewGoneAndChanged) {
  EXPECT_EQ(settings_difference(R"({"a":1,"b":[1,2]})", R"({"a":1,"b":[1,2]})"), "");
  EXPECT_EQ(settings_difference(R"({"a":1,"b":[1]})", R"({"b":[1,2],"c":null})"),
            "a is 1, was absent; b/1 is absent, was 2; c is absent, was null");
  EXPECT_NE(settings_difference(R"({"a":1})", "no JSON"), "");
}

}  // namespace
}  // namespace whimbrel
