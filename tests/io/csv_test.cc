#include <gmock/gmock.h>

#include <sstream>

#include "io/temp_folder.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using ReadCsv = InFolder;

TEST(CsvCell, StaysAsItIsWithoutNeed) {
  EXPECT_EQ(csv_cell(""), "");
  EXPECT_EQ(csv_cell("Parus major"), "Parus major");
  EXPECT_EQ(csv_cell("caf\xC3\xA9;\t'"), "caf\xC3\xA9;\t'");
}

TEST(CsvCell, IsQuotedForCommasQuotesAndLineBreaks) {
  EXPECT_EQ(csv_cell("a,b"), "\"a,b\"");
  EXPECT_EQ(csv_cell("say \"hi\""), "\"say \"\"hi\"\"\"");
  EXPECT_EQ(csv_cell("a\nb"), "\"a\nb\"");
  EXPECT_EQ(csv_cell("a\r"), "\"a\r\"");
}

TEST(LooksLikeFormula, IsTextThatASpreadsheetWouldCompute) {
  for (const std::string text : {"=1+1", "=HYPERLINK(\"x\")", "+cmd", "-a", "@SUM(A1)", "\t=1", "\r=1", "-", "-1+1"}) {
    EXPECT_TRUE(looks_like_formula(text)) << text;
  }
  for (const std::string text : {"", "a=1", "-1.5", "Parus major", "'=1", " =1", "0-1"})
    EXPECT_FALSE(looks_like_formula(text)) << text;
}

TEST_F(ReadCsv, StopsAtItsLimit) {
  const auto path = file("t.csv", "a,b\n1,2\n");
  EXPECT_EQ(read_csv(path, ',', 8).rows.size(), 1U);
  EXPECT_THAT(error_of(ErrorCode::invalid_argument, [&] { read_csv(path, ',', 7); }), HasSubstr("t.csv"));
}

TEST(ReadLine, GivesLinesOfEveryLength) {
  constexpr std::size_t kStep = 1 << 16;
  std::vector<std::string> lines = {"a", "", std::string("z\0z", 3)};
  for (const std::size_t length : {kStep - 2, kStep - 1, kStep, kStep + 1, 2 * kStep - 2, 3 * kStep})
    lines.emplace_back(length, 'x');
  for (const bool ends_with_break : {true, false}) {
    std::string text;
    for (const auto& line : lines) text += line + '\n';
    if (!ends_with_break) text.pop_back();
    std::istringstream in(text);
    std::vector<std::string> read;
    for (std::string line; read_line(in, line, "x");) read.push_back(line);
    EXPECT_EQ(read, lines);
  }
}

TEST(ReadLine, RefusesALineWithoutEnd) {
  std::istringstream in(std::string((std::size_t{64} << 20) + (1 << 16), 'x'));
  std::string line;
  EXPECT_THAT(error_of(ErrorCode::invalid_argument, [&] { read_line(in, line, "endless.csv"); }), HasSubstr("endless.csv"));
}

TEST(ParseCsv, ReadsWhatCsvCellWrites) {
  const std::vector<std::string> cells = {"",         "plain",    "a,b",         "\"", "\"\"", "line\nbreak",
                                          "cr\r\nlf", " spaces ", "\xE9\xBE\x8D"};
  std::string text = "h0,h1,h2,h3,h4,h5,h6,h7,h8\n";
  for (const auto& cell : cells) text += csv_cell(cell) + ",";
  text.back() = '\n';
  const auto table = parse_csv(text, "x");
  ASSERT_EQ(table.rows.size(), 1U);
  EXPECT_EQ(table.rows[0], cells);
}

TEST(ParseCsv, TakesLfAndCrlfAndAMissingLastLineBreak) {
  for (const std::string text : {"a,b\n1,2\n3,\n", "a,b\r\n1,2\r\n3,\r\n", "a,b\n1,2\n3,", "a,b\r\n1,2\r\n3,\r"}) {
    const auto table = parse_csv(text, "x");
    EXPECT_THAT(table.header, ElementsAre("a", "b"));
    EXPECT_THAT(table.rows, ElementsAre(ElementsAre("1", "2"), ElementsAre("3", "")));
  }
}

TEST(ParseCsv, DropsAByteOrderMarkAndBlankLines) {
  const auto table = parse_csv("\xEF\xBB\xBF\n\"a\",b\n\n1,2\n\r\n3,4\n\n", "x");
  EXPECT_THAT(table.header, ElementsAre("a", "b"));
  EXPECT_THAT(table.rows, ElementsAre(ElementsAre("1", "2"), ElementsAre("3", "4")));
}

TEST(ParseCsv, SplitsAtTabsWhenAskedTo) {
  const auto table = parse_csv("a,a\tb\n1\t\"2\t3\"\n", "x", '\t');
  EXPECT_THAT(table.header, ElementsAre("a,a", "b"));
  EXPECT_THAT(table.rows, ElementsAre(ElementsAre("1", "2\t3")));
}

TEST(ParseCsv, MayHaveNoRows) { EXPECT_THAT(parse_csv("a,b", "x").rows, IsEmpty()); }

TEST(ParseCsv, NamesTheLineOfARowOfAnotherLength) {
  const std::string text = "a,b\n\"two\nlines\",2\n\n1,2,3\n";
  EXPECT_EQ(error_of(ErrorCode::invalid_argument, [&] { (void)parse_csv(text, "t.csv"); }),
            "t.csv:5: 3 cells, expected 2 as in the header");
}

TEST(ParseCsv, NamesTheLineWhereAQuoteThatHasNoEndBegins) {
  EXPECT_THAT(error_of(ErrorCode::invalid_argument, [] { (void)parse_csv("a,b\n1,\"2\n3,4\n", "t.csv"); }),
              AllOf(HasSubstr("t.csv:2:"), HasSubstr("quoted cell has no end")));
}

TEST(ParseCsv, RefusesAFileWithoutAHeader) {
  for (const std::string text : {"", "\n\n", "\xEF\xBB\xBF"}) {
    EXPECT_THAT(error_of(ErrorCode::invalid_argument, [&] { (void)parse_csv(text, "t.csv"); }),
                HasSubstr("t.csv: empty, expected a header"));
  }
}

TEST(CsvTableColumn, IsFoundByName) {
  const auto table = parse_csv("row_id,b\n", "x");
  EXPECT_EQ(table.column("row_id"), 0U);
  EXPECT_EQ(table.column("b"), 1U);
}

TEST(CsvTableColumn, SuggestsTheClosestNameAndListsAFew) {
  CsvTable table;
  for (int i = 0; i < 300; ++i) table.header.push_back("species_" + std::to_string(i));
  const auto message = error_of(ErrorCode::invalid_argument, [&] { (void)table.column("speces_299"); });
  EXPECT_THAT(message, AllOf(HasSubstr("no column \"speces_299\""), HasSubstr("species_0, species_1"), HasSubstr("300 in all"),
                             HasSubstr("did you mean \"species_299\"?")));
  EXPECT_THAT(message, Not(HasSubstr("species_30,")));
}

TEST_F(ReadCsv, NamesTheFile) {
  EXPECT_THAT(read_csv(file("t.tsv", "a\tb\n1\t2\n"), '\t').rows, ElementsAre(ElementsAre("1", "2")));
  EXPECT_THAT(error_of(ErrorCode::invalid_argument, [&] { (void)read_csv(file("bad.csv", "a,b\n1\n")); }),
              HasSubstr("bad.csv:2: 1 cells"));
  error_of(ErrorCode::not_found, [&] { (void)read_csv(folder_ / "nothing.csv"); });
}

}  // namespace
}  // namespace whimbrel
