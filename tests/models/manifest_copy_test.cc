#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "whimbrel/models.h"

namespace whimbrel {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::filesystem::path written(const std::string& text) {
  // Tests run side by side, each in a process of its own.
  const std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
  const auto path = std::filesystem::path(testing::TempDir()) / ("whimbrel-" + name + ".toml");
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

TEST(ManifestFor, ReplacesTheFileAndNothingElse) {
  const auto copy = manifest_for(written("# file = \"a.onnx\"\n[model]\nlabels = \"l.txt\"\n  file   = 'a.onnx' # this one\n"
                                         "[output]\nclip = \"a.onnx\"\n[probe]\noutput = \"p/q.npy\"\n"),
                                 "b.xml");
  EXPECT_EQ(copy.text,
            "# file = \"a.onnx\"\n[model]\nlabels = \"l.txt\"\n  file   = \"b.xml\" # this one\n"
            "[output]\nclip = \"a.onnx\"\n[probe]\noutput = \"p/q.npy\"\n");
  EXPECT_THAT(copy.companions, ElementsAre("l.txt", "p/q.npy"));
}

TEST(ManifestFor, FindsTheFileBehindLettersOfSeveralBytes) {
  const auto copy =
      manifest_for(written("model = { name = \"Rödl\xC3\xA4ufer\", file = \"a.onnx\", labels = \"l\" }\r\n"), "b \"x\\.xml");
  EXPECT_THAT(copy.text, HasSubstr("file = \"b \\\"x\\\\.xml\", labels"));
}

TEST(ManifestFor, WidensTheProbesTolerance) {
  const std::string model = "[model]\nfile = \"a\"\n";
  const auto text = [&](const std::string& probe) { return manifest_for(written(model + probe), "a", 0.25).text; };
  EXPECT_EQ(text("[probe]\ntolerance = 1e-3 # tight\noutput = \"p\"\n"),
            model + "[probe]\ntolerance = 0.25 # tight\noutput = \"p\"\n");
  EXPECT_EQ(text("[probe]\noutput = \"p\" # here\n"), model + "[probe]\noutput = \"p\"\ntolerance = 0.25 # here\n");
  EXPECT_EQ(text(""), model) << "no probe, no tolerance";
  EXPECT_EQ(manifest_for(written("probe = { output = \"p\" }\n" + model), "a", 0.25).text,
            "probe = { output = \"p\", tolerance = 0.25 }\n" + model);
  EXPECT_THAT([] { manifest_for(written("probe.output = \"p\"\n[model]\nfile = \"a\"\n"), "a", 0.25); },
              ThrowsMessage<Error>(HasSubstr("[probe] is written so")));
}

TEST(ManifestFor, RefusesWhatIsNoManifest) {
  EXPECT_THAT([] { manifest_for(written("[model]\nlabels = \"l\"\n"), "b.xml"); },
              ThrowsMessage<Error>(HasSubstr("model.file is missing")));
  EXPECT_THAT([] { manifest_for(written("[model\n"), "b.xml"); }, ThrowsMessage<Error>(HasSubstr("correct it")));
}

}  // namespace
}  // namespace whimbrel
