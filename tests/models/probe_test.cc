#include <gmock/gmock.h>

#include <cmath>

#include "models/manifest_folder.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ProbeTest : public InModelFolder {
 protected:
  void write_probe(const Shape& shape, const std::vector<float>& values) const {
    AtomicFile file(folder_ / "b0.probe.npy");
    file.write(npy_header(shape));
    file.write(values);
    file.commit();
  }
  Manifest load_probe(const std::string& keys) const { return load(std::string(kMelManifest) + "[probe]\n" + keys); }
  std::string said(const std::string& keys) const {
    return error_of(ErrorCode::bad_manifest, [&] { (void)load_probe(keys); });
  }
};

constexpr const char* kOutput = "output = \"b0.probe.npy\"\n";

TEST_F(ProbeTest, IsReadWithATolerance) {
  write_probe({2}, {0.5F, -8});
  const auto m = load_probe(kOutput);
  ASSERT_TRUE(m.probe);
  EXPECT_THAT(m.probe->output, ElementsAre(0.5F, -8.0F));
  EXPECT_EQ(m.probe->tolerance, 1e-3);
}

TEST_F(ProbeTest, HasOneValueALabel) {
  write_probe({3}, {1, 2, 3});
  EXPECT_THAT(said(kOutput), AllOf(HasSubstr("b0.probe.npy: probe of shape [3]"), HasSubstr("expected [2]")));
  write_probe({1, 2}, {1, 2});
  EXPECT_THAT(said(kOutput), HasSubstr("probe of shape [1, 2], expected [2]"));
}

TEST_F(ProbeTest, IsFinite) {
  for (const float bad : {std::nanf(""), -HUGE_VALF}) {
    write_probe({2}, {0, bad});
    EXPECT_THAT(said(kOutput), AllOf(HasSubstr("b0.probe.npy"), HasSubstr("not finite")));
  }
}

TEST_F(ProbeTest, NamesKeysThatAreMissingOrOutOfRange) {
  write_probe({2}, {0, 0});
  EXPECT_THAT(said("tolerance = 1\n"), HasSubstr("b0.toml:14: probe.output is missing"));
  for (const std::string bad : {"0", "-1", "nan", "inf"}) {
    EXPECT_THAT(said(kOutput + ("tolerance = " + bad)), HasSubstr("probe.tolerance=" + bad + ", expected a number above 0"));
  }
}

TEST_F(ProbeTest, MustBeANumPyFileThatIsThere) {
  EXPECT_THAT(error_of(ErrorCode::not_found, [&] { (void)load_probe(kOutput); }), HasSubstr("b0.probe.npy"));
  write("b0.probe.npy", "text");
  EXPECT_THAT(said(kOutput), HasSubstr("not a NumPy file"));
}

}  // namespace
}  // namespace whimbrel
