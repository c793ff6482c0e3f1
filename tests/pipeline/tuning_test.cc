#include "pipeline/tuning.h"

#include <gmock/gmock.h>

#include <thread>

#include "pipeline/cache_folder.h"
#include "pipeline/settings.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class Tuning : public InCache {
 protected:
  Tuning() {
    set_log_sink([this](LogLevel level, std::string_view message) {
      if (level >= LogLevel::warning) warnings_ += std::string(message) + "\n";
    });
  }
  ~Tuning() override { set_log_sink({}); }

  fs::path onnx() const { return model_.parent_path() / "dawn_chorus.onnx"; }
  Shape row() const { return load_manifest(model_).row_shape(); }
  std::vector<TunedSetting> found() const { return find_settings(onnx(), row()); }
  std::string text() const { return read_file(tuning_path()); }

  /// Replaces the first `from` in tuning.json.
  void change(const std::string& from, const std::string& to) const {
    auto json = text();
    const auto at = json.find(from);
    ASSERT_NE(at, std::string::npos) << from << " in " << json;
    write(tuning_path(), json.replace(at, from.size(), to));
  }

  const std::vector<TunedSetting> settings_ = {{EngineKind::openvino, 4, 210.5}, {EngineKind::onnxruntime, 1, 180}};
  std::string warnings_;
};

TEST_F(Tuning, LiesWhereTheEnvironmentSays) {
  EXPECT_EQ(tuning_path(), folder_ / "cache" / "tuning.json");
  unsetenv("WHIMBREL_CACHE");
  setenv("XDG_CACHE_HOME", "/x/cache", 1);
  EXPECT_EQ(tuning_path(), "/x/cache/whimbrel/tuning.json");
  unsetenv("XDG_CACHE_HOME");
  const fs::path home = getenv("HOME") == nullptr ? "" : getenv("HOME");
  setenv("HOME", "/home/somebody", 1);
  EXPECT_EQ(tuning_path(), "/home/somebody/.cache/whimbrel/tuning.json");
  unsetenv("HOME");
  EXPECT_EQ(tuning_path(), "");
  if (!home.empty()) setenv("HOME", home.c_str(), 1);
}

TEST_F(Tuning, FindsWhatWasStoredInItsOrder) {
  EXPECT_THAT(found(), IsEmpty());
  store_settings(onnx(), row(), settings_, Tuned::bench);
  const auto settings = found();
  ASSERT_THAT(settings, SizeIs(2));
  EXPECT_EQ(settings[0].engine, EngineKind::openvino);
  EXPECT_EQ(settings[0].batch, 4);
  EXPECT_EQ(settings[0].windows_per_s, 210.5);
  EXPECT_EQ(settings[1].engine, EngineKind::onnxruntime);
  EXPECT_THAT(text(), HasSubstr("\"how\": \"bench\""));
}

TEST_F(Tuning, ReplacesAnEntryAndKeepsOthers) {
  store_settings(onnx(), row(), settings_, Tuned::quick);
  store_settings(onnx(), {1, 64, 500}, {{EngineKind::onnxruntime, 8, 90}}, Tuned::bench);
  store_settings(onnx(), row(), {{EngineKind::onnxruntime, 2, 300}}, Tuned::bench);
  ASSERT_THAT(found(), SizeIs(1));
  EXPECT_EQ(found()[0].batch, 2);
  EXPECT_EQ(find_settings(onnx(), {1, 64, 500}).at(0).batch, 8);
  EXPECT_THAT(text(), ::testing::Not(HasSubstr("quick")));
}

TEST_F(Tuning, DoesNotSpeakOfAnotherFile) {
  store_settings(onnx(), row(), settings_, Tuned::bench);
  std::ofstream(onnx(), std::ios::app) << '\0';
  EXPECT_THAT(found(), IsEmpty());
}

TEST_F(Tuning, DoesNotSpeakOfAnotherCpu) {
  store_settings(onnx(), row(), settings_, Tuned::bench);
  change("\"cpu\": \"", "\"cpu\": \"another ");
  EXPECT_THAT(found(), IsEmpty());
}

TEST_F(Tuning, DoesNotSpeakOfAnotherNumberOfCores) {
  store_settings(onnx(), row(), settings_, Tuned::bench);
  change("\"cores\": ", "\"cores\": 10");
  EXPECT_THAT(found(), IsEmpty());
}

TEST_F(Tuning, DoesNotSpeakOfAnotherVersionOfAnEngine) {
  store_settings(onnx(), row(), settings_, Tuned::bench);
  change("\"onnxruntime\": \"", "\"onnxruntime\": \"0.");
  EXPECT_THAT(found(), IsEmpty());
}

TEST_F(Tuning, WarnsOfAFileThatIsNone) {
  for (const char* spoilt : {"", "{", "[]", R"({"format": 2, "entries": []})", R"({"format": 1, "entries": 3})"}) {
    warnings_.clear();
    write(tuning_path(), spoilt);
    EXPECT_THAT(found(), IsEmpty()) << spoilt;
    EXPECT_THAT(warnings_, HasSubstr("not a tuning file")) << spoilt;
  }
  store_settings(onnx(), row(), settings_, Tuned::bench);
  EXPECT_THAT(found(), SizeIs(2));
}

TEST_F(Tuning, PassesOverASpoiltEntry) {
  store_settings(onnx(), row(), settings_, Tuned::bench);
  change("\"engine\": \"openvino\"", "\"engine\": \"abacus\"");
  EXPECT_THAT(found(), IsEmpty());
  write(tuning_path(), R"({"format": 1, "entries": [3, null, {"settings": 1}, []]})");
  EXPECT_THAT(found(), IsEmpty());
}

TEST_F(Tuning, DoesNotFailWhereNothingCanBeWritten) {
  use_cache("/dev/null/nowhere");
  store_settings(onnx(), row(), settings_, Tuned::bench);
  EXPECT_THAT(found(), IsEmpty());
  EXPECT_EQ(warnings_, "");
}

TEST_F(Tuning, LosesNothingWhenManyWriteAtOnce) {
  constexpr int kWriters = 8;
  {
    std::vector<std::jthread> writers;
    for (int w = 1; w <= kWriters; ++w) {
      writers.emplace_back(
          [this, w] { store_settings(onnx(), {1, 64, w}, {{EngineKind::onnxruntime, w, 1.0}}, Tuned::quick); });
    }
  }
  for (int w = 1; w <= kWriters; ++w) {
    const auto settings = find_settings(onnx(), {1, 64, w});
    ASSERT_THAT(settings, SizeIs(1)) << w;
    EXPECT_EQ(settings[0].batch, w);
  }
}

TEST_F(Tuning, AutoTakesTheBestSettingKnown) {
  store_settings(onnx(), row(), settings_, Tuned::bench);
  const auto opened = open_best(load_manifest(model_), {.workers = 1});
  EXPECT_EQ(opened.setting, (Setting{EngineKind::openvino, 4}));
  EXPECT_EQ(opened.session->input().shape[0], 4);
  EXPECT_GT(opened.cost_s, 0);
}

TEST_F(Tuning, AutoTakesTheBestEngineOfABatchThatWasNamed) {
  store_settings(onnx(), row(), settings_, Tuned::bench);
  EXPECT_EQ(open_best(load_manifest(model_), {.batch = 1}).setting, (Setting{EngineKind::onnxruntime, 1}));
  EXPECT_EQ(open_best(load_manifest(model_), {.batch = 3}).setting, (Setting{EngineKind::openvino, 3})) << "never measured";
}

TEST_F(Tuning, AnEngineThatWasNamedAsksNobody) {
  store_settings(onnx(), row(), settings_, Tuned::bench);
  EXPECT_EQ(open_best(load_manifest(model_), {.engine = "onnxruntime"}).setting, (Setting{EngineKind::onnxruntime, 1}));
}

TEST_F(Tuning, AutoTakesOfAnInt8ModelTheEngineOfItsCertificateAndTheBestBatchForIt) {
  auto certificate = verdict();
  certificate.engine = EngineKind::openvino;
  write_int8("small", certificate);
  const auto manifest = load_manifest(beside("small.toml"));
  EXPECT_EQ(open_best(manifest, {.tuning_s = 30}).setting, (Setting{EngineKind::openvino, 1})) << "nothing is known";
  store_settings(beside("small.onnx"), row(), {{EngineKind::onnxruntime, 8, 300}, {EngineKind::openvino, 4, 200}},
                 Tuned::bench);
  EXPECT_EQ(open_best(manifest, {}).setting, (Setting{EngineKind::openvino, 4}));
}

TEST_F(Tuning, AutoRunsTheFloatModelThatACertificatePrefersInItsOwnBestSetting) {
  auto certificate = verdict();
  certificate.keep_fp32 = true;
  certificate.cpu = cpu_info().model;
  certificate.integer_path = cpu_info().integer_path;
  write_int8("small", certificate);
  store_settings(onnx(), row(), settings_, Tuned::bench);
  const auto opened = open_best(load_manifest(beside("small.toml")), {});
  EXPECT_EQ(opened.model_path.filename(), "dawn_chorus.onnx");
  EXPECT_EQ(opened.setting, (Setting{EngineKind::openvino, 4}));
}

TEST_F(Tuning, AutoKeepsWhatAShortSearchFound) {
  const auto manifest = load_manifest(model_);
  const auto first = open_best(manifest, {.tuning_s = 30});
  EXPECT_GT(first.cost_s, 0);
  EXPECT_THAT(text(), HasSubstr("\"how\": \"quick\""));
  ASSERT_THAT(found(), ::testing::Not(IsEmpty()));
  EXPECT_EQ(open_best(manifest, {}).setting, first.setting) << "without any time to search";
}

TEST_F(Tuning, AutoKeepsWhatItFoundForABatchApart) {
  const auto manifest = load_manifest(model_);
  const auto first = open_best(manifest, {.batch = 3, .tuning_s = 30});
  EXPECT_EQ(first.setting.batch, 3);
  EXPECT_THAT(found(), IsEmpty()) << "nothing is known of other batches";
  EXPECT_EQ(open_best(manifest, {.batch = 3}).setting, first.setting);
}

TEST_F(Tuning, WhatWasFoundForABatchComesBeforeTheRestUntilABench) {
  store_settings(onnx(), row(), {{EngineKind::onnxruntime, 3, 90}}, Tuned::quick, 3);
  store_settings(onnx(), row(), settings_, Tuned::quick);
  EXPECT_EQ(find_settings(onnx(), row(), 3).at(0).engine, EngineKind::onnxruntime);
  EXPECT_EQ(find_settings(onnx(), row(), 5).at(0).engine, EngineKind::openvino);
  store_settings(onnx(), row(), settings_, Tuned::bench);
  EXPECT_EQ(find_settings(onnx(), row(), 3).at(0).engine, EngineKind::openvino);
}

TEST_F(Tuning, AutoKeepsNothingWithoutASearch) {
  (void)open_best(load_manifest(model_), {});
  EXPECT_FALSE(fs::exists(tuning_path()));
}

}  // namespace
}  // namespace whimbrel
