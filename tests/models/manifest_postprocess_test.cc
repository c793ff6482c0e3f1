#include <gmock/gmock.h>

#include "models/manifest_folder.h"
#include "whimbrel/models.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PostProcessTable : public InModelFolder {
 protected:
  static std::string with(std::string_view keys) {
    return std::string(kMelManifest) + "frame = \"frames\"\n[postprocess]\n" + std::string(keys) + "\n";
  }
  PostProcess read(std::string_view keys) const { return load(with(keys)).post; }
  std::string refused(std::string_view keys) const {
    return error_of(ErrorCode::bad_manifest, [&] { (void)load(with(keys)); });
  }
};

TEST_F(PostProcessTable, MayBeAbsent) {
  EXPECT_EQ(load(kMelManifest).post, PostProcess());
  EXPECT_EQ(read(""), PostProcess());
}

TEST_F(PostProcessTable, ReadsEveryKey) {
  write("birds.txt", "");
  write("thresholds.csv", "");
  EXPECT_EQ(read("smooth = [0.1, 0.2, 1, 0.2, 0.1]\nprior = \"max\"\nprior_power = 0.5\nmerge_gap_s = 2\n"
                 "species_list = \"birds.txt\"\nthresholds = \"thresholds.csv\"\ntta_shifts_s = [-1, 1.5]\n"
                 "[postprocess.events]\nmedian_frames = 7\nhigh = 0.6\nlow = 0.3"),
            (PostProcess{.smooth = {0.1, 0.2, 1, 0.2, 0.1},
                         .prior = Prior::max,
                         .prior_power = 0.5,
                         .merge_gap_s = 2,
                         .species_list = folder_ / "birds.txt",
                         .thresholds = folder_ / "thresholds.csv",
                         .events = EventRule{7, 0.6, 0.3},
                         .tta_shifts_s = {-1, 1.5}}));
}

TEST_F(PostProcessTable, HasDefaultsForEvents) {
  EXPECT_EQ(read("[postprocess.events]").events, EventRule());
  EXPECT_EQ(read("[postprocess.events]\nhigh = 0.1").events, (EventRule{1, 0.1, 0.1}));
}

TEST_F(PostProcessTable, RefusesValuesOutOfRange) {
  for (const std::string kernel : {"[]", "[0.5, 0.5]", "[1, 0, 1]", "[-1, 3, -1]", "[nan]", "[1, \"2\", 1]", "0.5"}) {
    EXPECT_THAT(refused("smooth = " + kernel), HasSubstr("b0.toml:16: postprocess.smooth=")) << kernel;
  }
  EXPECT_THAT(refused("prior = \"maximum\""), HasSubstr("one of none, max, mean"));
  for (const std::string power : {"0", "-1", "11", "nan"}) {
    EXPECT_THAT(refused("prior = \"max\"\nprior_power = " + power), HasSubstr("expected a number in (0, 10]"));
  }
  EXPECT_THAT(refused("prior_power = 2"), HasSubstr("no such key without prior"));
  EXPECT_THAT(refused("merge_gap_s = -0.5"), HasSubstr("expected a number of seconds, 0..86400"));
  for (const std::string shifts : {"[0]", "[1, 1]", "[5]", "[-5.5]", "[nan]"}) {
    EXPECT_THAT(refused("tta_shifts_s = " + shifts), HasSubstr("not 0 and between -5 and 5, the window")) << shifts;
  }
  const std::string events = "[postprocess.events]\n";
  for (const std::string frames : {"0", "2", "-3", "10001"}) {
    EXPECT_THAT(refused(events + "median_frames = " + frames), HasSubstr("b0.toml:17: postprocess.events.median_frames"));
  }
  EXPECT_THAT(refused(events + "high = 1.5"), HasSubstr("postprocess.events.high=1.5, expected a number in (0, 1]"));
  EXPECT_THAT(refused(events + "high = 0.5\nlow = 0.6"),
              HasSubstr("postprocess.events.low=0.6, expected a number in (0, 0.5]"));
}

TEST_F(PostProcessTable, RefusesUnknownKeysWithTheClosest) {
  EXPECT_THAT(refused("smoth = [1]"), HasSubstr("did you mean \"smooth\"?"));
  EXPECT_THAT(refused("[postprocess.events]\nhig = 0.5"), HasSubstr("did you mean \"high\"?"));
}

TEST_F(PostProcessTable, RefusesEventsWithoutAFrameWiseOutput) {
  EXPECT_THAT(
      error_of(ErrorCode::bad_manifest, [&] { (void)load(std::string(kMelManifest) + "[postprocess.events]\nhigh = 0.5\n"); }),
      HasSubstr("unless output.frame names"));
}

TEST_F(PostProcessTable, FindsItsFilesInTheManifestsFolderOnly) {
  std::ofstream(root_ / "birds.txt") << "noise\n";
  EXPECT_THAT(refused("species_list = \"../birds.txt\""), HasSubstr("a file inside the manifest's own folder"));
  fs::create_symlink(root_ / "birds.txt", folder_ / "link.csv");
  EXPECT_THAT(refused("thresholds = \"link.csv\""), HasSubstr("a file inside the manifest's own folder"));
  EXPECT_THAT(error_of(ErrorCode::not_found, [&] { (void)read("thresholds = \"none.csv\""); }), HasSubstr("none.csv"));
}

TEST_F(PostProcessTable, FollowsItsManifestToAnotherFolder) {
  write("b0.toml", with("species_list = \"birds.txt\"\nthresholds = \"thresholds.csv\""));
  EXPECT_THAT(manifest_for(folder_ / "b0.toml", "c.xml").companions, ElementsAre("labels.txt", "birds.txt", "thresholds.csv"));
}

}  // namespace
}  // namespace whimbrel
