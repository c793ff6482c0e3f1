#include "pipeline/forms.h"

#include <gmock/gmock.h>

#include "pipeline/cache_folder.h"
#include "whimbrel/pipeline.h"

namespace whimbrel {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Forms : public InCache {
 protected:
  static std::vector<std::string> names(const std::vector<ModelForm>& forms) {
    std::vector<std::string> found;
    for (const auto& form : forms) found.push_back(form.model_path.filename().string() + " " + form.precision);
    return found;
  }
};

TEST_F(Forms, OfALoneModelAreItself) {
  const auto forms = find_forms(model_);
  ASSERT_THAT(names(forms), ElementsAre("dawn_chorus.onnx fp32"));
  EXPECT_EQ(forms[0].reference, model_);
  EXPECT_EQ(forms[0].name, load_manifest(model_).name);
  EXPECT_THAT(forms[0].engines, Contains(EngineKind::onnxruntime));
  EXPECT_FALSE(forms[0].verdict);
}

TEST_F(Forms, AreFilesThatShareTheManifestToo) {
  write(beside("dawn_chorus.xml"), R"(<data element_type="f16"/>)");
  write(beside("dawn_chorus.pt"), "");
  write(beside("other.xml"), "");
  const auto forms = find_forms(model_);
  EXPECT_THAT(names(forms), ElementsAre("dawn_chorus.onnx fp32", "dawn_chorus.xml fp16 weights", "dawn_chorus.pt fp32"));
  EXPECT_EQ(forms[1].reference, beside("dawn_chorus.xml"));
  EXPECT_EQ(names(find_forms(beside("dawn_chorus.pt"))), names(forms)) << "whichever is named";
}

TEST_F(Forms, AreInt8ModelsMadeOfExactlyThisFile) {
  write_int8("small", verdict());
  auto other = verdict();
  other.source_hash = std::string(32, '0');
  write_int8("stale", other);
  write(beside("broken.toml"), "[model");
  const auto forms = find_forms(model_);
  ASSERT_THAT(names(forms), ElementsAre("dawn_chorus.onnx fp32", "small.onnx int8"));
  EXPECT_EQ(forms[1].reference, beside("small.toml"));
  ASSERT_TRUE(forms[1].verdict);
  EXPECT_EQ(forms[1].verdict->words, "as good");
}

TEST_F(Forms, OfAnInt8ModelAreThoseOfItsSource) {
  write_int8("small", verdict());
  EXPECT_EQ(names(find_forms(beside("small.toml"))), names(find_forms(model_)));
  std::ofstream(beside("dawn_chorus.onnx"), std::ios::app) << "\x72" << '\0';  // an empty remark: another file
  EXPECT_THAT(names(find_forms(beside("small.toml"))), ElementsAre("small.onnx int8"));
}

TEST_F(Forms, AreToldFromEachOtherAcrossBlocksOfTheFile) {
  constexpr std::size_t kBlock = std::size_t{1} << 20;
  for (const std::size_t at : {kBlock - 5, 2 * kBlock - 13, 3 * kBlock}) {
    write(beside("dawn_chorus.xml"), std::string(at, ' ') + "type=\"FakeQuantize\"");
    EXPECT_THAT(names(find_forms(model_)), Contains("dawn_chorus.xml int8")) << at;
  }
}

TEST_F(Forms, NeedAModel) { EXPECT_THROW(find_forms(beside("none.toml")), Error); }

}  // namespace
}  // namespace whimbrel
