#include <gmock/gmock.h>

#include "models/manifest_folder.h"
#include "whimbrel/models.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using ManifestTest = InModelFolder;

TEST_F(ManifestTest, HasDefaultsForAllButAFewKeys) {
  const auto m = load(kMelManifest);
  EXPECT_EQ(m.path, folder_ / "b0.toml");
  EXPECT_EQ(m.model_path, folder_ / "b0.onnx");
  EXPECT_EQ(m.name, "b0");
  EXPECT_EQ(m.weight, 1);
  EXPECT_EQ(m.hop_s, 5);
  EXPECT_EQ(m.channels, 1);
  EXPECT_EQ(m.min_signal, 0.5);
  EXPECT_EQ(m.mel, (MelConfig{.hop_samples = 1024}));
  EXPECT_EQ(m.frame_output, "");
  EXPECT_EQ(m.frame_axis, FrameAxis::class_first);
  EXPECT_EQ(m.activation, Activation::sigmoid);
  EXPECT_EQ(m.logit_clip, 0);
  EXPECT_FALSE(m.probe);
}

TEST_F(ManifestTest, ReadsEveryKey) {
  write("b0.probe.npy", std::string("\x93NUMPY\x01\x00\x40\x00", 10) +
                            "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }      \n" +
                            std::string("\0\0\xC0\x3F\0\0\0\xC0", 8));
  const auto m = load(R"([model]
name = "b0-sed"
file = "b0.onnx"
labels = "labels.txt"
weight = 2
[input]
kind = "mel"
sample_rate_hz = 22050
window_s = 4
hop_s = 2.0
channels = 3
min_signal = 0.25
resampler = "kaiser_fast"
[input.mel]
n_fft = 1024
win_length = 800
hop_samples = 320
n_mels = 64
f_min_hz = 50
f_max_hz = 11000.5
scale = "htk"
norm = "none"
power = 1
center = false
pad = "constant"
level = "db"
ref = "max"
amin = 1e-5
top_db = 60
normalize = "mean_std"
mean = -30
std = 12.5
[output]
clip = "c"
frame = "f"
frame_axis = "class_last"
embedding = "e"
activation = "softmax"
logit_clip = 15
[probe]
output = "b0.probe.npy"
tolerance = 0.01
)");
  EXPECT_EQ(m.name, "b0-sed");
  EXPECT_EQ(m.weight, 2);
  EXPECT_EQ(m.kind, InputKind::mel);
  EXPECT_EQ(m.grid(), (WindowGrid{22050, 88200, 44100, 0.25, ResampleMethod::kaiser_fast}));
  EXPECT_EQ(m.channels, 3);
  const MelConfig mel = {.n_fft = 1024,
                         .win_length = 800,
                         .hop_samples = 320,
                         .n_mels = 64,
                         .f_min_hz = 50,
                         .f_max_hz = 11000.5,
                         .scale = MelScale::htk,
                         .norm = MelNorm::none,
                         .power = 1,
                         .center = false,
                         .pad = PadMode::constant,
                         .level = Level::db,
                         .ref = LevelRef::max,
                         .amin = 1e-5,
                         .top_db = 60,
                         .normalize = Normalize::mean_std,
                         .mean = -30,
                         .std = 12.5};
  EXPECT_EQ(m.mel, mel);
  EXPECT_THAT(m.row_shape(), ElementsAre(3, 64, 1 + (88200 - 1024) / 320));
  EXPECT_EQ(m.clip_output, "c");
  EXPECT_EQ(m.frame_output, "f");
  EXPECT_EQ(m.frame_axis, FrameAxis::class_last);
  EXPECT_EQ(m.embedding_output, "e");
  EXPECT_EQ(m.activation, Activation::softmax);
  EXPECT_EQ(m.logit_clip, 15);
  ASSERT_TRUE(m.probe);
  EXPECT_THAT(m.probe->output, ElementsAre(1.5F, -2.0F));
  EXPECT_EQ(m.probe->tolerance, 0.01);
}

TEST_F(ManifestTest, FeedsWaveformsAsTheyAre) {
  const auto m = load(kWaveformManifest);
  EXPECT_EQ(m.kind, InputKind::waveform);
  EXPECT_THAT(m.row_shape(), ElementsAre(144000));
}

TEST_F(ManifestTest, TakesTheFftLengthForTheWindowLengthAsLibrosaDoes) {
  EXPECT_EQ(load_with("n_fft = 2048", "n_fft = 512").mel.win_length, 512);
}

TEST_F(ManifestTest, TakesSecondsThatAreWholeSamplesInDecimals) {
  // 5.12 * 32000 is 163840.00000000003 in binary.
  EXPECT_EQ(load_with("window_s = 5.0", "window_s = 5.12\nhop_s = 0.01").grid(), (WindowGrid{32000, 163840, 320, 0.5}));
}

TEST_F(ManifestTest, IsFoundBesideAModelFile) {
  write("net.v2.onnx", "");
  write("net.v2.toml", replaced(kMelManifest, "b0.onnx", "net.v2.onnx"));
  const auto m = load_manifest(folder_ / "net.v2.onnx");
  EXPECT_EQ(m.path, folder_ / "net.v2.toml");
  EXPECT_EQ(m.model_path, folder_ / "net.v2.onnx");
  EXPECT_EQ(m.name, "net.v2");
}

TEST_F(ManifestTest, RunsTheModelFileThatWasNamed) {
  write("b0.toml", kMelManifest);
  write("b0.xml", "");
  EXPECT_EQ(load_manifest(folder_ / "b0.xml").model_path, folder_ / "b0.xml");
}

TEST_F(ManifestTest, IsFoundInTheCurrentFolder) {
  write("b0.toml", kMelManifest);
  const auto before = fs::current_path();
  fs::current_path(folder_);
  const auto m = load_manifest("b0.onnx");
  fs::current_path(before);
  EXPECT_EQ(m.model_path.filename(), "b0.onnx");
  EXPECT_EQ(m.labels.size(), 2U);
}

TEST_F(ManifestTest, SaysWhatToDoWithoutAManifest) {
  EXPECT_THAT(error_of(ErrorCode::not_found, [&] { (void)load_manifest(folder_ / "b0.onnx"); }),
              AllOf(HasSubstr("b0.onnx: no manifest"), HasSubstr("b0.toml"), HasSubstr("whimbrel export")));
  EXPECT_THAT(error_of(ErrorCode::not_found, [&] { (void)load_manifest(folder_ / "no.onnx"); }),
              HasSubstr("no.onnx: not there"));
  EXPECT_THAT(error_of(ErrorCode::not_found, [&] { (void)load_manifest(folder_ / "no.toml"); }),
              HasSubstr("no.toml: not there"));
  EXPECT_THAT(error_of(ErrorCode::bad_manifest, [&] { (void)load_manifest(folder_); }),
              HasSubstr("a folder, expected a manifest"));
}

TEST_F(ManifestTest, NamesTheLineThatIsNotToml) {
  EXPECT_THAT(refusal("kind = \"mel\"", "kind = mel"), AllOf(HasSubstr("b0.toml:5: not TOML"), HasSubstr("docs/manifest.md")));
  EXPECT_THAT(refusal("[input]\n", "[input]\nkind = \"mel\"\n"), HasSubstr("b0.toml:6: not TOML"));  // a key twice
}

TEST_F(ManifestTest, NamesMissingKeys) {
  const std::pair<std::string_view, std::string_view> lines[] = {
      {"file = \"b0.onnx\"\n", "b0.toml:1: model.file is missing, expected"},
      {"labels = \"labels.txt\"\n", "b0.toml:1: model.labels is missing"},
      {"kind = \"mel\"\n", "b0.toml:4: input.kind is missing"},
      {"sample_rate_hz = 32000\n", "b0.toml:4: input.sample_rate_hz is missing"},
      {"window_s = 5.0\n", "b0.toml:4: input.window_s is missing"}};
  for (const auto& [line, expected] : lines) EXPECT_THAT(refusal(line, ""), HasSubstr(expected));
}

TEST_F(ManifestTest, NamesMissingTables) {
  const auto said = [&](std::string_view text) { return error_of(ErrorCode::bad_manifest, [&] { (void)load(text); }); };
  EXPECT_THAT(said(""), HasSubstr("b0.toml: model is missing, expected a table with file and labels"));
  EXPECT_THAT(said("[model]\nfile = \"b0.onnx\"\nlabels = \"labels.txt\"\n"), HasSubstr("b0.toml: input is missing"));
  EXPECT_THAT(said(replaced(kWaveformManifest, "waveform", "mel")),
              HasSubstr("b0.toml:4: input.mel is missing, expected a table [input.mel]"));
}

TEST_F(ManifestTest, NamesUnknownKeysWithTheClosestKnownOne) {
  EXPECT_THAT(refusal("hop_samples", "hop_sample"),
              AllOf(HasSubstr("b0.toml:10: unknown key input.mel.hop_sample"), HasSubstr("did you mean \"hop_samples\"?")));
  EXPECT_THAT(refusal("[output]\n", "[output]\nactivatoin = \"none\"\n"),
              AllOf(HasSubstr("b0.toml:13: unknown key output.activatoin"), HasSubstr("did you mean \"activation\"?")));
  EXPECT_THAT(refusal("[output]\n", "[outputs]\n"),
              AllOf(HasSubstr("b0.toml:12: unknown key outputs"), HasSubstr("did you mean \"output\"?")));
  EXPECT_THAT(refusal("[model]\n", "[model]\nwieght = 2\n"), HasSubstr("did you mean \"weight\"?"));
  EXPECT_THAT(refusal("[input]\n", "[input]\nhops = 2\n"), HasSubstr("unknown key input.hops"));
  EXPECT_THAT(refusal("[output]\n", "[probe]\noutput = \"b0.onnx\"\nrtol = 1\n[output]\n"),
              HasSubstr("unknown key probe.rtol"));
  // A required key that is misspelt is the same mistake.
  EXPECT_THAT(refusal("window_s", "windows_s"), AllOf(HasSubstr("input.window_s is missing"), HasSubstr("by \"windows_s\"?")));
  // So is one that is optional and not there.
  EXPECT_THAT(refusal("n_fft = 2048", "n_fft = 2048\ntop_bd = 80"), HasSubstr("did you mean \"top_db\"?"));
}

TEST_F(ManifestTest, NamesWrongTypes) {
  EXPECT_THAT(refusal("sample_rate_hz = 32000", "sample_rate_hz = \"32000\""),
              HasSubstr("b0.toml:6: input.sample_rate_hz=\"32000\", expected a whole number"));
  EXPECT_THAT(refusal("n_mels = 128", "n_mels = 128.5"), HasSubstr("input.mel.n_mels=128.5, expected a whole number"));
  EXPECT_THAT(refusal("window_s = 5.0", "window_s = true"), HasSubstr("input.window_s=true, expected a number"));
  EXPECT_THAT(refusal("file = \"b0.onnx\"", "file = 3"), HasSubstr("model.file=3, expected a text in quotes"));
  EXPECT_THAT(refusal("file = \"b0.onnx\"", "file = [\"b0.onnx\"]"), HasSubstr("model.file=an array, expected a text"));
  EXPECT_THAT(refusal("n_fft = 2048", "n_fft = 2048\ncenter = 1"), HasSubstr("input.mel.center=1, expected true or false"));
  EXPECT_THAT(refusal("n_fft = 2048", "n_fft = 2048\nmean = 2026-01-01\nnormalize = \"mean_std\"\nstd = 1"),
              HasSubstr("input.mel.mean=a date or time, expected a number"));
  EXPECT_THAT(refusal("clip = \"clipwise_logits\"", "clip = { a = 1 }"), HasSubstr("output.clip=a table, expected a text"));
  EXPECT_THAT(
      error_of(ErrorCode::bad_manifest,
               [&] { (void)load("output = 1\n" + std::string(kMelManifest.substr(0, kMelManifest.find("[output]")))); }),
      HasSubstr("b0.toml:1: output=1, expected a table, [output]"));
}

TEST_F(ManifestTest, NamesValuesOutOfRange) {
  const auto model = [&](std::string_view line) { return refusal("[model]\n", "[model]\n" + std::string(line) + "\n"); };
  for (const std::string weight : {"nan", "inf", "0", "-1.5"}) {
    EXPECT_THAT(model("weight = " + weight), HasSubstr("b0.toml:2: model.weight=" + weight + ", expected a number above 0"));
  }
  const auto input = [&](std::string_view line) { return refusal("[input]\n", "[input]\n" + std::string(line) + "\n"); };
  for (const std::string channels : {"0", "17", "-1", "9223372036854775807"}) {
    EXPECT_THAT(input("channels = " + channels), HasSubstr("input.channels=" + channels + ", expected a whole number, 1..16"));
  }
  for (const std::string hop : {"0", "-1", "5.5", "nan"})
    EXPECT_THAT(input("hop_s = " + hop), HasSubstr("expected a number of seconds in (0, 5]"));
  for (const std::string share : {"-0.1", "1.1", "nan"}) EXPECT_THAT(input("min_signal = " + share), HasSubstr("0..1"));
  for (const std::string window : {"0", "-5", "inf", "3601"}) {
    EXPECT_THAT(refusal("window_s = 5.0", "window_s = " + window), HasSubstr("expected a number of seconds in (0, 3600]"));
  }
  EXPECT_THAT(refusal("= 32000\nwindow_s = 5.0", "= 1000000\nwindow_s = 3600"),
              HasSubstr("input.window_s=3600, expected at most 268435456 samples, found 3600000000"));
  EXPECT_THAT(refusal("= 32000", "= 0"), HasSubstr("input.sample_rate_hz=0, expected a whole number, 1..1000000"));
  const auto output = [&](std::string_view line) { return refusal("[output]\n", "[output]\n" + std::string(line) + "\n"); };
  for (const std::string clip : {"-1", "inf", "nan"})
    EXPECT_THAT(output("logit_clip = " + clip), HasSubstr("output.logit_clip=" + clip));
}

TEST_F(ManifestTest, RefusesWindowsAndHopsOfBrokenSamples) {
  EXPECT_THAT(refusal("window_s = 5.0", "window_s = 1.00001"),
              HasSubstr("input.window_s=1.00001, expected a whole number of samples at 32000 Hz, found 32000.32"));
  EXPECT_THAT(refusal("window_s = 5.0", "window_s = 5.0\nhop_s = 0.33333"),
              HasSubstr("input.hop_s=0.33333, expected a whole number"));
  EXPECT_THAT(refusal("window_s = 5.0", "window_s = 5.0\nhop_s = 1e-12"),
              HasSubstr("input.hop_s=1e-12, expected a whole number"));
}

TEST_F(ManifestTest, NamesWordsThatItDoesNotKnow) {
  EXPECT_THAT(refusal("\"mel\"", "\"mell\""),
              HasSubstr("input.kind=\"mell\", expected one of mel, waveform; did you mean \"mel\"?"));
  EXPECT_THAT(refusal("[output]\n", "[output]\nactivation = \"Sigmoid\"\n"), HasSubstr("did you mean \"sigmoid\"?"));
  EXPECT_THAT(refusal("[output]\n", "[output]\nframe_axis = \"time_first\"\n"), HasSubstr("one of class_first, class_last"));
  for (const std::string key : {"scale", "norm", "pad", "level", "ref", "normalize"}) {
    EXPECT_THAT(refusal("n_fft = 2048", "n_fft = 2048\n" + key + " = \"a\\nb\""),
                HasSubstr("input.mel." + key + "=\"a\\nb\", expected one of"));
  }
}

TEST_F(ManifestTest, SaysWhatTheFrontEndRefuses) {
  EXPECT_THAT(refusal("n_mels = 128", "n_mels = 0"),
              AllOf(HasSubstr("b0.toml:8: [input.mel] n_mels=0"), HasSubstr("expected")));
  EXPECT_THAT(refusal("window_s = 5.0", "window_s = 0.01"),
              AllOf(HasSubstr("b0.toml:8"), HasSubstr("window of 320 samples"), HasSubstr("n_fft=2048")));
}

TEST_F(ManifestTest, RefusesKeysThatWouldHaveNoEffect) {
  EXPECT_THAT(refusal("n_fft = 2048", "n_fft = 2048\nmean = 1.5"),
              HasSubstr("b0.toml:10: input.mel.mean=1.5, expected no such key unless normalize is \"mean_std\""));
  const auto said = [&](std::string_view text) { return error_of(ErrorCode::bad_manifest, [&] { (void)load(text); }); };
  EXPECT_THAT(said(std::string(kWaveformManifest) + "[input.mel]\nn_fft = 512\n"),
              HasSubstr("input.mel=a table, expected no such table"));
  EXPECT_THAT(said(std::string(kWaveformManifest) + "channels = 3\n"), HasSubstr("input.channels=3, expected 1"));
}

TEST_F(ManifestTest, NeedsMeanAndStdToNormalizeByThem) {
  EXPECT_THAT(refusal("n_fft = 2048", "n_fft = 2048\nnormalize = \"mean_std\"\nmean = 1"),
              HasSubstr("input.mel.std is missing"));
  EXPECT_THAT(refusal("n_fft = 2048", "n_fft = 2048\nnormalize = \"mean_std\"\nmean = 1\nstd = 0"),
              HasSubstr("input.mel.std=0, expected a number above 0"));
}

TEST_F(ManifestTest, RefusesFilesOutsideOfItsFolder) {
  std::ofstream(root_ / "outside.txt") << "noise\n";
  const std::string absolute = root_ / "outside.txt";
  const std::string paths[] = {"../outside.txt", "sub/../../outside.txt", absolute, "..", ".", ""};
  for (const std::string key : {"file = \"b0.onnx\"", "labels = \"labels.txt\""}) {
    const auto name = key.substr(0, key.find(' '));
    for (const auto& path : paths) {
      EXPECT_THAT(refusal(key, name + " = \"" + path + "\""),
                  AllOf(HasSubstr("model." + name + "=\"" + path + "\""), HasSubstr("inside the manifest's own folder")));
    }
  }
  EXPECT_THAT(refusal("[output]\n", "[probe]\noutput = \"../outside.txt\"\n[output]\n"),
              HasSubstr("probe.output=\"../outside.txt\""));
}

TEST_F(ManifestTest, RefusesLinksThatLeadOutsideOfItsFolder) {
  std::ofstream(root_ / "outside.txt") << "noise\n";
  fs::create_symlink("../outside.txt", folder_ / "link.txt");
  fs::create_directory_symlink("..", folder_ / "up");
  EXPECT_THAT(refusal("labels.txt", "link.txt"), HasSubstr("inside the manifest's own folder"));
  EXPECT_THAT(refusal("labels.txt", "up/outside.txt"), HasSubstr("inside the manifest's own folder"));
}

TEST_F(ManifestTest, TakesLinksAndFoldersThatStayInside) {
  fs::create_directories(folder_ / "sub");
  fs::rename(folder_ / "labels.txt", folder_ / "sub" / "labels.txt");
  fs::create_symlink("sub/labels.txt", folder_ / "link.txt");
  EXPECT_EQ(load_with("labels.txt", "link.txt").labels.size(), 2U);
  EXPECT_EQ(load_with("labels.txt", "sub/labels.txt").labels.size(), 2U);
  // The folder itself may be reached through a link.
  fs::create_directory_symlink("model", root_ / "alias");
  write("b0.toml", replaced(kMelManifest, "labels.txt", "link.txt"));
  EXPECT_EQ(load_manifest(root_ / "alias" / "b0.toml").labels.size(), 2U);
}

TEST_F(ManifestTest, NamesFilesThatAreNotThere) {
  const auto missing = [&](std::string_view old, std::string_view replacement) {
    return error_of(ErrorCode::not_found, [&] { (void)load_with(old, replacement); });
  };
  EXPECT_THAT(missing("b0.onnx", "b1.onnx"),
              AllOf(HasSubstr("b0.toml:2: file names"), HasSubstr("model/b1.onnx"), HasSubstr("beside the manifest")));
  EXPECT_THAT(missing("labels.txt", "names.txt"), HasSubstr("b0.toml:3: labels names"));
  fs::create_directories(folder_ / "sub");
  EXPECT_THAT(missing("b0.onnx", "sub"), HasSubstr("model/sub"));
}

TEST_F(ManifestTest, TellsAMistakeInTheManifestBeforeAMissingFile) {
  fs::remove(folder_ / "b0.onnx");
  EXPECT_THAT(refusal("[output]\n", "[output]\nclipp = \"x\"\n"), HasSubstr("unknown key"));
}

TEST_F(ManifestTest, RefusesMoreThanAMebibyte) {
  EXPECT_THAT(refusal("[output]\n", "# " + std::string(std::size_t{1} << 20, 'x') + "\n[output]\n"),
              HasSubstr("expected at most 1048576"));
}

}  // namespace
}  // namespace whimbrel
