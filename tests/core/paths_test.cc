#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "whimbrel/core.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

class PathInside : public ::testing::Test {
 protected:
  PathInside()
      : root_(fs::path(WHIMBREL_TEST_DATA_DIR) / "paths" / ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(root_);
    fs::create_directories(root_ / "inside" / "sub");
    fs::create_directories(root_ / "inside-too");
    std::ofstream(root_ / "secret") << "s";
    std::ofstream(root_ / "inside" / "file") << "f";
  }
  ~PathInside() override { fs::remove_all(root_); }
  bool allows(const std::string& named) const { return path_inside(root_ / "inside", named).has_value(); }
  fs::path root_;
};

TEST_F(PathInside, TakesWhatLiesBelowWhetherItIsThereOrNot) {
  EXPECT_EQ(path_inside(root_ / "inside", "file"), root_ / "inside" / "file");
  EXPECT_EQ(path_inside(root_ / "inside", "none/such"), root_ / "inside" / "none" / "such");
  EXPECT_TRUE(allows("sub/../file"));
  EXPECT_TRUE(allows((root_ / "inside" / "file").string()));
  EXPECT_TRUE(allows("..file"));
}

TEST_F(PathInside, RefusesWhatLeavesTheFolder) {
  for (const std::string named :
       {"../secret", "sub/../../secret", "/etc/passwd", "..", ".", "", "none/../../secret", "../inside-too/x"}) {
    EXPECT_FALSE(allows(named)) << named;
  }
}

TEST_F(PathInside, FollowsLinksBeforeItDecides) {
  fs::create_symlink("../secret", root_ / "inside" / "link");
  fs::create_directory_symlink(root_, root_ / "inside" / "up");
  fs::create_symlink("file", root_ / "inside" / "near");
  fs::create_symlink("loop", root_ / "inside" / "loop");
  EXPECT_FALSE(allows("link"));
  EXPECT_FALSE(allows("up/secret"));
  EXPECT_FALSE(allows("up/none"));
  EXPECT_FALSE(allows("loop/x"));
  EXPECT_TRUE(allows("near"));
}

/// The system ends a name at a zero byte, and would open "secret" of "secret\0.wav".
TEST_F(PathInside, RefusesAZeroByte) { EXPECT_FALSE(allows(std::string("file\0.txt", 9))); }

TEST_F(PathInside, OfNoFolderIsTheCurrentOne) {
  EXPECT_EQ(path_inside("", "file"), fs::path("file"));
  EXPECT_FALSE(path_inside("", "../file"));
}

TEST(ClosestWord, DoesNotCompareTextsThatNobodyTyped) {
  // Their product is 10^12 steps: minutes.
  const std::string a(1'000'000, 'a'), b(1'000'000, 'b');
  EXPECT_EQ(closest_word(a, {b}), "");
  EXPECT_EQ(closest_word("labels", {b, "lables"}), "lables");
}

}  // namespace
}  // namespace whimbrel
