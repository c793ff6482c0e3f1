#include "models/labels.h"

#include <gmock/gmock.h>

#include "models/manifest_folder.h"

namespace whimbrel {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Labels : public InModelFolder {
 protected:
  std::vector<std::string> texts(std::string_view bytes) const {
    write("labels.txt", bytes);
    std::vector<std::string> found;
    for (auto& label : read_labels(folder_ / "labels.txt")) found.push_back(std::move(label.text));
    return found;
  }
  std::string said(std::string_view bytes) const {
    return error_of(ErrorCode::bad_manifest, [&] { (void)texts(bytes); });
  }
};

TEST(ParseLabel, SplitsScientificAndCommonName) {
  EXPECT_EQ(parse_label("Poecile atricapillus_Black-capped Chickadee"),
            (Label{"Poecile atricapillus_Black-capped Chickadee", "Poecile atricapillus", "Black-capped Chickadee"}));
  EXPECT_EQ(parse_label("Corvus sp. 1_Crow_like"), (Label{"Corvus sp. 1_Crow_like", "Corvus sp. 1", "Crow_like"}));
}

TEST(ParseLabel, SplitsANameThatStandsTwice) { EXPECT_EQ(parse_label("Dog_Dog"), (Label{"Dog_Dog", "Dog", "Dog"})); }

TEST(ParseLabel, KeepsAnythingElseWhole) {
  for (const std::string text : {"noise", "species_00", "Human_vocal noise", "Poecile atricapillus", "Poecile atricapillus_",
                                 "_a", "_", "\xC3\x89toile_1"}) {
    EXPECT_EQ(parse_label(text), (Label{text, text, text}));
  }
}

TEST_F(Labels, AreTheLinesOfTheFile) {
  EXPECT_THAT(texts("a\n b \nc\xC3\xA9_1"), ElementsAre("a", " b ", "c\xC3\xA9_1"));
  EXPECT_THAT(texts("one"), ElementsAre("one"));
}

TEST_F(Labels, LoseCarriageReturnsAByteOrderMarkAndBlankLinesAtTheEnd) {
  EXPECT_THAT(texts("\xEF\xBB\xBF"
                    "a\r\nb\r\n\r\n \n\n"),
              ElementsAre("a", "b"));
}

TEST_F(Labels, MayNotHaveABlankLineBetweenThem) {
  EXPECT_THAT(said("a\n\nb\n"), AllOf(HasSubstr("labels.txt:2: a blank line"), HasSubstr("expected one class a line")));
  EXPECT_THAT(said("\na\n"), HasSubstr("labels.txt:1: a blank line"));
  EXPECT_THAT(said("a\n\t \r\n\nb\n"), HasSubstr("labels.txt:2: a blank line"));
}

TEST_F(Labels, MayNotStandThereTwice) {
  EXPECT_THAT(said("a\nb\nc\nb\r\n"), HasSubstr("labels.txt:4: label \"b\" stands in line 2 too, expected each class once"));
}

TEST_F(Labels, MustBeSome) {
  for (const std::string bytes : {"", "\n\n", "\xEF\xBB\xBF\n"})
    EXPECT_THAT(said(bytes), HasSubstr("no labels, expected one class a line"));
}

TEST_F(Labels, AreRefusedBeyond64MiB) {
  write("labels.txt", "");
  std::filesystem::resize_file(folder_ / "labels.txt", (std::int64_t{64} << 20) + 1);  // sparse: takes no room
  EXPECT_THAT(error_of(ErrorCode::bad_manifest, [&] { (void)load(kMelManifest); }), HasSubstr("expected at most 67108864"));
}

}  // namespace
}  // namespace whimbrel
