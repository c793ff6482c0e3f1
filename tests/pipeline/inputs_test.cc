#include "pipeline/inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Inputs : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(root_); }
  void TearDown() override { fs::remove_all(root_); }
  std::string touch(const fs::path& path, const std::string& text = "x") const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
    return (root_ / path).string();
  }
  std::vector<std::string> relative(const std::vector<std::string>& inputs) const {
    std::vector<std::string> names;
    for (const auto& r : find_recordings(inputs)) names.push_back(r.relative.string());
    return names;
  }
  fs::path root_ = fs::path(::testing::TempDir()) / ("inputs-" + std::to_string(getpid()));
};

TEST_F(Inputs, SearchesFoldersRecursivelyInByteOrderForRecordingsOnly) {
  touch("b.wav");
  touch("a/z.FLAC");
  touch("a/notes.txt");
  touch("B.ogg");
  EXPECT_THAT(relative({root_.string()}), ElementsAre("B.ogg", "a/z.FLAC", "b.wav"));
}

TEST_F(Inputs, KeepsAFileThatIsNamedWhateverItsEnding) {
  const auto odd = touch("recording.dat");
  EXPECT_THAT(relative({odd}), ElementsAre("recording.dat"));
}

TEST_F(Inputs, ReadsAListAndKeepsItsMissingFilesForTheLedger) {
  const auto there = touch("a.wav");
  const auto list = touch("list.txt", there + "\r\n\nmissing.wav\n");
  EXPECT_THAT(relative({"@" + list}), ElementsAre("a.wav", "missing.wav"));
}

TEST_F(Inputs, CountsAPathNamedTwiceOnce) {
  const auto file = touch("a.wav");
  EXPECT_THAT(relative({root_.string(), file, (root_ / "." / "a.wav").string()}), ElementsAre("a.wav"));
}

TEST_F(Inputs, DoesNotFollowALinkBackIntoItsOwnFolder) {
  touch("a.wav");
  fs::create_directory_symlink(root_, root_ / "loop");
  EXPECT_THAT(relative({root_.string()}), ElementsAre("a.wav"));
}

TEST_F(Inputs, KeepsWhatCannotBeLookedAtForTheLedger) {
  fs::create_symlink("self.wav", root_ / "self.wav");
  const std::string too_long(300, 'x');
  EXPECT_THAT(relative({(root_ / "self.wav").string(), too_long}), ElementsAre("self.wav", too_long));
  const auto list = touch("list.txt", (root_ / "self.wav").string() + "\n" + too_long + "\n");
  EXPECT_THAT(relative({"@" + list}), ElementsAre("self.wav", too_long));
}

TEST_F(Inputs, PassesOverWhatIsNoFileInAFolder) {
  touch("a.wav");
  ASSERT_EQ(::mkfifo((root_ / "pipe.wav").c_str(), 0600), 0);
  fs::create_symlink("nowhere", root_ / "dangling.wav");
  fs::create_symlink("/dev/zero", root_ / "device.wav");
  fs::create_symlink("self.wav", root_ / "self.wav");
  EXPECT_THAT(relative({root_.string()}), ElementsAre("a.wav"));
}

TEST_F(Inputs, RefusesWhatIsNotThere) {
  EXPECT_THAT([] { (void)find_recordings({"no/such.wav"}); }, ::testing::ThrowsMessage<Error>(HasSubstr("no/such.wav")));
  EXPECT_THAT([] { (void)find_recordings({"@no-such-list"}); }, ::testing::ThrowsMessage<Error>(HasSubstr("no-such-list")));
}

/// "a.wav\0" would be read as a.wav, and its outputs, named after it, would replace a.wav itself.
TEST_F(Inputs, RefusesAListWithAZeroByte) {
  const auto list = touch("list.txt", touch("a.wav") + std::string("\0\n", 2));
  EXPECT_THAT([&] { (void)find_recordings({"@" + list}); }, ::testing::ThrowsMessage<Error>(HasSubstr("zero byte")));
}

TEST_F(Inputs, KeepsANameTooLongToLookUpForTheLedger) {
  const std::string name(300, 'x');
  const auto list = touch("list.txt", name + "\n");
  EXPECT_THAT(relative({"@" + list}), ElementsAre(name));
}

TEST_F(Inputs, RefusesAFolderWithoutRecordings) {
  touch("notes.txt");
  EXPECT_THAT([this] { (void)find_recordings({root_.string()}); }, ::testing::ThrowsMessage<Error>(HasSubstr(".wav")));
}

TEST(Shard, TakesEveryNth) {
  std::vector<RecordingName> all;
  for (const char* name : {"0", "1", "2", "3", "4"}) all.push_back({name, name});
  std::vector<std::string> second;
  for (const auto& r : shard(all, 2, 3)) second.push_back(r.path.string());
  EXPECT_THAT(second, ElementsAre("1", "4"));
  EXPECT_EQ(shard(all, 1, 1).size(), 5U);
  EXPECT_TRUE(shard(all, 6, 6).empty());
}

TEST(Shard, RefusesAnIndexOutsideTheCount) {
  EXPECT_THROW((void)shard({}, 0, 2), Error);
  EXPECT_THROW((void)shard({}, 3, 2), Error);
  EXPECT_THROW((void)shard({}, 1, 0), Error);
}

}  // namespace
}  // namespace whimbrel
