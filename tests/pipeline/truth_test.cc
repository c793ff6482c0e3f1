#include "whimbrel/pipeline.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>

#include "pipeline/formats.h"
#include "pipeline/row_table.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Truth : public ::testing::Test {
 protected:
  Truth() : dir_(fs::path(WHIMBREL_TEST_DATA_DIR) / "truth" / ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }

  fs::path file(const std::string& name, std::string_view text) const {
    std::ofstream(dir_ / name, std::ios::binary) << text;
    return dir_ / name;
  }

  ScoredTable join(std::string_view predictions, std::string_view truth) const {
    return join_predictions(file("predictions.csv", predictions), file("truth.csv", truth));
  }

  /// The message of the Error{invalid_argument} that joining ends in.
  std::string refusal(std::string_view predictions, std::string_view truth) const {
    try {
      join(predictions, truth);
    } catch (const Error& error) {
      EXPECT_EQ(to_string(error.code()), "invalid_argument") << error.what();
      return error.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
  }

  fs::path dir_;
};

TEST_F(Truth, JoinsByRowIdAndClassNameInThePredictionsOrder) {
  const ScoredTable table = join("row_id,b,a\nx_10,0.1,0.2\nx_5,0.3,0.4\n", "row_id,a,b\nx_5,1,0\nx_10,0,1\n");
  EXPECT_THAT(table.classes, ElementsAre("b", "a"));
  EXPECT_THAT(table.rows, ElementsAre("x_10", "x_5"));
  EXPECT_THAT(table.scores, ElementsAre(0.1F, 0.2F, 0.3F, 0.4F));
  EXPECT_THAT(table.truth, ElementsAre(1, 0, 0, 1));
}

TEST_F(Truth, ReadsWhatSpreadsheetsAndDataFramesWrite) {
  // Byte order mark, CRLF, quotes, blank lines, spaces, 1.0 for 1, numbers below float32's range, no line break at the end.
  const ScoredTable table = join("\xef\xbb\xbf\"row_id\",\"a\"\r\n\"x,\"\"1\"\"_5\", 0.5 \r\n\r\ny_5,1e-60\r\nz_5,2.5E-1",
                                 "row_id,a\n\"x,\"\"1\"\"_5\",1.0\ny_5,0.0\nz_5,0\n\n");
  EXPECT_THAT(table.rows, ElementsAre("x,\"1\"_5", "y_5", "z_5"));
  EXPECT_THAT(table.scores, ElementsAre(0.5F, 0.0F, 0.25F));
  EXPECT_THAT(table.truth, ElementsAre(1, 0, 0));
}

TEST_F(Truth, GivesBackASubmissionToTheBit) {
  FormatContext context;
  context.out_dir = dir_;
  context.labels = {{"a,\"b\"", "a", "b"}, {"c", "c", "c"}};
  const std::vector<float> scores = {1.0F / 3.0F, std::numeric_limits<float>::denorm_min(), 0.1F, 1.0F};
  const auto format = make_format("kaggle", context);
  format->begin_recording({"odd, name.wav", "odd, name.wav"});
  format->window(0, std::span(scores).first(2));
  format->window(1, std::span(scores).last(2));
  format->end_recording();
  format->finish();
  const auto truth = file("truth.csv", "row_id,\"a,\"\"b\"\"\",c\n\"odd, name_5\",1,0\n\"odd, name_10\",0,0\n");
  const ScoredTable table = join_predictions(dir_ / "submission.csv", truth);
  EXPECT_THAT(table.scores, ::testing::ElementsAreArray(scores));
  EXPECT_THAT(table.classes, ElementsAre("a,\"b\"", "c"));
}

TEST_F(Truth, NamesTheFirstClassThatOneSideHasNotAndHowMany) {
  EXPECT_THAT(refusal("row_id,a,b,c\n", "row_id,a\n"),
              AllOf(HasSubstr("truth.csv: no column for class \"b\" of"), HasSubstr("predictions.csv"), HasSubstr("2 such")));
  EXPECT_THAT(refusal("row_id,a\n", "row_id,d,a\n"),
              AllOf(HasSubstr("truth.csv: class \"d\" is not in"), HasSubstr("predictions.csv"), HasSubstr("1 such")));
}

TEST_F(Truth, NamesTheFirstRowThatOneSideHasNotAndHowMany) {
  EXPECT_THAT(refusal("row_id,a\nx_5,0\ny_5,0\nz_5,0\n", "row_id,a\nx_5,0\n"),
              AllOf(HasSubstr("truth.csv: no row \"y_5\" of"), HasSubstr("predictions.csv"), HasSubstr("2 such")));
  EXPECT_THAT(refusal("row_id,a\nx_5,0\n", "row_id,a\nw_5,1\nx_5,0\nz_5,0\nz_10,0\n"),
              AllOf(HasSubstr("row \"w_5\" of"), HasSubstr("predictions.csv (3 such")));
}

TEST_F(Truth, WithoutAPositiveIsRefused) {
  EXPECT_THAT(refusal("row_id,a\nx_5,0\n", "row_id,a\nx_5,0\n"), HasSubstr("none of 1 windows is positive"));
}

TEST_F(Truth, RefusesARowTwiceWithItsLine) {
  EXPECT_THAT(refusal("row_id,a\nx_5,0\nx_5,0\n", "row_id,a\nx_5,0\n"),
              AllOf(HasSubstr("predictions.csv:3"), HasSubstr("\"x_5\"")));
  EXPECT_THAT(refusal("row_id,a\nx_5,0\n", "row_id,a\nx_5,0\n\nx_5,0\n"),
              AllOf(HasSubstr("truth.csv:4"), HasSubstr("\"x_5\"")));
}

TEST_F(Truth, RefusesPredictionsThatAreNoFiniteNumbers) {
  for (const std::string value : {"nan", "inf", "-inf", "1e60", "", " ", "high", "0.5x", "0,5", "0x10"}) {
    const std::string cell = value == "0,5" ? "\"0,5\"" : value;
    EXPECT_THAT(refusal("row_id,a,b\nx_5,0," + cell + "\n", "row_id,a,b\nx_5,0,1\n"),
                AllOf(HasSubstr("predictions.csv:2"), HasSubstr("row \"x_5\""), HasSubstr("column \"b\" is \"" + value + "\""),
                      HasSubstr("finite number")));
  }
}

TEST_F(Truth, RefusesTruthThatIsNotZeroOrOne) {
  for (const std::string value : {"0.5", "2", "-1", "nan", "", "yes"}) {
    EXPECT_THAT(refusal("row_id,a\nx_5,0\n", "row_id,a\nx_5," + value + "\n"),
                AllOf(HasSubstr("truth.csv:2"), HasSubstr("column \"a\" is \"" + value + "\""), HasSubstr("expected 0 or 1")));
  }
}

/// The file system's own exceptions are no part of the contract.
TEST_F(Truth, ThatCannotBeLookedUpIsOurError) {
  const fs::path longer_than_names = std::string(300, 'x');
  const auto scores = file("predictions.csv", "row_id,a\nx_5,1\n");
  fs::create_symlink("loop", dir_ / "loop");
  EXPECT_THROW(join_predictions(longer_than_names, scores), Error);
  EXPECT_THROW(join_predictions(scores, longer_than_names), Error);
  EXPECT_THROW(join_predictions(scores, dir_ / "loop"), Error);
}

TEST_F(Truth, ReadsTheDawnChorusTruth) {
  const char* shared = std::getenv("WHIMBREL_SHARED");
  const fs::path truth = fs::path(shared ? shared : WHIMBREL_SOURCE_DIR "/../shared") / "data/dawn/truth.csv";
  if (!fs::exists(truth)) GTEST_SKIP() << truth << " is not there";
  const ScoredTable table = join_predictions(truth, truth);
  EXPECT_EQ(table.classes.size(), 24U);
  EXPECT_EQ(table.rows.front(), "dawn_5000_5");
  EXPECT_EQ(table.scores.size(), table.rows.size() * 24);
  EXPECT_THAT(table.scores, ::testing::ElementsAreArray(table.truth));
}

// Truth for windows that somebody else names

class TruthOf : public Truth {
 protected:
  std::vector<std::uint8_t> of(std::string_view truth, const TruthOptions& options = {}) const {
    return truth_of(file("truth.csv", truth), rows_, classes_, 5, options);
  }
  std::string refused(std::string_view truth) const {
    try {
      (void)of(truth);
    } catch (const Error& error) {
      EXPECT_EQ(to_string(error.code()), "invalid_argument") << error.what();
      return error.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
  }

  std::vector<std::string> rows_ = {"x_5", "x_10", "y_5"};
  std::vector<std::string> classes_ = {"Parus major_Great Tit", "Corvus corax_Common Raven"};
};

TEST_F(TruthOf, IsTheSameFromEveryForm) {
  const std::vector<std::uint8_t> expected = {1, 0, 1, 1, 0, 1};
  for (const std::string text :
       {"row_id,Corvus corax_Common Raven,Parus major_Great Tit\ny_5,1,0\nx_10,1,1\nx_5,0,1\n",
        "row_id,label\nx_5,Great Tit\nx_10,Parus major;Corvus corax\ny_5,Corvus corax_Common Raven\n",
        "file,start_s,end_s,label\nx.wav,4,6,Great Tit\nx.wav,7,8,Corvus corax\na/y.ogg,0,1,Corvus corax_Common Raven\n",
        "Begin File\tBegin Time (s)\tEnd Time (s)\tSpecies Code\tCommon Name\n"
        "x.wav\t4\t6\tgretit\tGreat Tit\nx.wav\t7\t8\t\tCommon Raven\nC:\\y.wav\t0\t1\t?\tCorvus corax\n"}) {
    EXPECT_EQ(of(text), expected) << text;
  }
}

TEST_F(TruthOf, ToleratesTruthOfMoreRecordingsButNotOfOthersOnly) {
  EXPECT_THAT(of("file,start_s,end_s,label\nz.wav,1,2,Great Tit\nx.wav,1,2,Great Tit\n"), ElementsAre(1, 0, 0, 0, 0, 0));
  EXPECT_THAT(refused("file,start_s,end_s,label\nz.wav,1,2,Great Tit\nz.wav,3,4,Great Tit\n"),
              AllOf(HasSubstr("recording \"z.wav\""), HasSubstr("1 such")));
  EXPECT_THAT(of("row_id,label\nz_5,Great Tit\nx_5,Great Tit\n"), ElementsAre(1, 0, 0, 0, 0, 0));
  EXPECT_THAT(refused("row_id,label\nz_5,Great Tit\n"), HasSubstr("row \"z_5\""));
}

TEST_F(TruthOf, CountsAnEventByTheOverlapOrHalfOfAShortOne) {
  const auto positive = [&](std::string_view times, double least) {
    const auto truth = of("file,start_s,end_s,label\nx.wav,1,2,Common Raven\nx.wav," + std::string(times) + ",Great Tit\n",
                          {.min_overlap_s = least});
    return std::pair(truth[0] == 1, truth[2] == 1);
  };
  using Both = std::pair<bool, bool>;
  EXPECT_EQ(positive("4.95,9", 0.05), Both(true, true));  // 5 - 4.95 is less than 0.05 in binary
  EXPECT_EQ(positive("4.951,9", 0.05), Both(false, true));
  EXPECT_EQ(positive("4.99,5.01", 0.05), Both(true, true));  // half of it on each side
  EXPECT_EQ(positive("4.98,5.01", 0.05), Both(true, false));
  EXPECT_EQ(positive("5,6", 0), Both(false, true));  // touching is no overlap
  EXPECT_EQ(positive("4,5", 0), Both(true, false));
  EXPECT_EQ(positive("5,5", 0.05), Both(false, true));  // a point
  EXPECT_EQ(positive("-3,0", 0.05), Both(false, false));
  EXPECT_EQ(positive("0,60", 0.05), Both(true, true));
}

TEST_F(TruthOf, RefusesANameThatTwoClassesHave) {
  classes_ = {"Corvus corax_Raven", "Corvus ruficollis_Raven"};
  EXPECT_THAT(refused("row_id,label\nx_5,Raven\n"), AllOf(HasSubstr("several classes"), HasSubstr("whole label")));
  EXPECT_THAT(of("row_id,label\nx_5,Corvus ruficollis\n"), ElementsAre(0, 1, 0, 0, 0, 0));
}

TEST_F(TruthOf, RefusesWindowsThatItCannotTellApart) {
  rows_.emplace_back("x_5");
  EXPECT_THAT(refused("row_id,label\nx_5,Great Tit\n"), HasSubstr("two windows are called \"x_5\""));
}

TEST_F(TruthOf, RefusesLengthsThatAreNone) {
  const auto path = file("truth.csv", "row_id,label\nx_5,Great Tit\n");
  for (const double seconds : {-1.0, std::numeric_limits<double>::infinity(), std::nan("")}) {
    EXPECT_THROW((void)truth_of(path, rows_, classes_, seconds), Error);
    EXPECT_THROW((void)truth_of(path, rows_, classes_, 5, {.min_overlap_s = seconds}), Error);
  }
}

TEST_F(TruthOf, ReadsAFolderOfTables) {
  const std::string header = "Begin Time (s)\tEnd Time (s)\tAnnotation\n";
  fs::create_directories(dir_ / "raven" / "more");
  file("raven/x.Table.12.selections.txt", header + "4\t6\tGreat Tit\n");
  file("raven/more/y.wav.selections.txt", header + "1\t2\tnocall\n1\t2\tCommon Raven\n");
  file("raven/z.txt", header);
  EXPECT_THAT(truth_of(dir_ / "raven", rows_, classes_, 5), ElementsAre(1, 0, 1, 0, 0, 1));
  fs::create_directories(dir_ / "empty");
  EXPECT_THROW((void)truth_of(dir_ / "empty", rows_, classes_, 5), Error);
}

// The layout that both sides share

class RowTable : public Truth {
 protected:
  std::string header_refusal(std::string_view text) const {
    try {
      RowTableReader reader(file("table.csv", text));
    } catch (const Error& error) {
      EXPECT_EQ(to_string(error.code()), "invalid_argument") << error.what();
      return error.what();
    }
    ADD_FAILURE() << "nothing was thrown for " << text;
    return "";
  }

  std::string row_refusal(std::string_view row) const {
    RowTableReader reader(file("table.csv", "row_id,a,b\n" + std::string(row)));
    try {
      reader.next();
    } catch (const Error& error) {
      EXPECT_EQ(to_string(error.code()), "invalid_argument") << error.what();
      return error.what();
    }
    ADD_FAILURE() << "nothing was thrown for " << row;
    return "";
  }
};

TEST_F(RowTable, GivesCellsUnquotedWithTheirLine) {
  RowTableReader reader(file("table.csv", "row_id,\"a \"\"quoted\"\"\",b\n\n\"x,y\",\"\",\"\"\"\"\n,,\n"));
  EXPECT_THAT(reader.classes(), ElementsAre("a \"quoted\"", "b"));
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.row_id(), "x,y");
  EXPECT_EQ(reader.cell(0), "");
  EXPECT_EQ(reader.cell(1), "\"");
  EXPECT_THAT(reader.where(), ::testing::EndsWith("table.csv:3"));
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.row_id(), "");
  EXPECT_FALSE(reader.next());
}

TEST_F(RowTable, RefusesAHeaderThatIsNotRowIdAndClasses) {
  EXPECT_THAT(header_refusal(""), HasSubstr("empty, expected a header"));
  EXPECT_THAT(header_refusal("\n\r\n"), HasSubstr("empty, expected a header"));
  EXPECT_THAT(header_refusal("id,a\n"), AllOf(HasSubstr("table.csv:1"), HasSubstr("starts with \"id\"")));
  EXPECT_THAT(header_refusal("row_id\n"), HasSubstr("header of 1 columns"));
  EXPECT_THAT(header_refusal("row_id,a,b,a\n"), HasSubstr("column \"a\" twice"));
}

TEST_F(RowTable, RefusesRowsOfAnotherLength) {
  EXPECT_THAT(row_refusal("x,1\n"), AllOf(HasSubstr("table.csv:2"), HasSubstr("2 cells, expected 3")));
  EXPECT_THAT(row_refusal("x,1,2,3\n"), HasSubstr("4 cells, expected 3"));
}

TEST_F(RowTable, RefusesQuotesThatDoNotEndTheirCell) {
  for (const std::string row : {"x,\"1,2\n", "x,\"1\"\",2\n", "x,\"1\"2,3\n", "x,1,\"\n"}) {
    EXPECT_THAT(row_refusal(row), AllOf(HasSubstr("table.csv:2"), HasSubstr("starts with a quote"))) << row;
  }
}

TEST_F(RowTable, ThatIsNotThereIsNamed) {
  try {
    RowTableReader reader(dir_ / "none.csv");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(to_string(error.code()), "not_found");
    EXPECT_THAT(error.what(), HasSubstr("none.csv"));
  }
}

}  // namespace
}  // namespace whimbrel
