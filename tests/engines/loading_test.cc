// What is loaded when, and what is said where an engine is missing. Each runs in a process of its own, since loading happens
// once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <thread>

#include "engines/models.h"

namespace whimbrel {
namespace {

using testing::ExitedWithCode;
using testing::HasSubstr;

bool mapped(const std::string& library) {
  std::ifstream maps("/proc/self/maps");
  return std::string(std::istreambuf_iterator<char>(maps), {}).find(library) != std::string::npos;
}

[[noreturn]] void leave_with(bool good, const std::string& said) {
  std::fputs(said.c_str(), stderr);
  std::_Exit(good ? 0 : 1);
}

/// Exits with 0 if the engine is unavailable and open_session refuses; says the remedy on stderr.
[[noreturn]] void expect_unavailable(EngineKind kind, const char* variable, const std::string& value) {
  setenv(variable, value.c_str(), 1);
  const auto status = engine_status(kind);
  bool refused = false;
  try {
    open_session(kind, test_file(in_format_of(kind, "linear.onnx")), {});
  } catch (const Error& e) {
    refused = e.code() == ErrorCode::unsupported && std::string(e.what()).find(status.remedy) != std::string::npos;
  }
  leave_with(!status.available && refused, status.remedy);
}

class LoadingDeathTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(LoadingDeathTest, NothingIsLoadedBeforeAnEngineIsAskedFor) {
  const auto only_names = [] {
    const bool named = engine_from_string("openvino") == EngineKind::openvino && engine_reads(EngineKind::openvino, "a.onnx");
    const bool none = !mapped("libopenvino") && !mapped("libonnxruntime") && !mapped("libtorch") &&
                      !mapped("whimbrel-openvino") && !mapped("whimbrel-torchscript");
    leave_with(named && none, "");
  };
  EXPECT_EXIT(only_names(), ExitedWithCode(0), "");
}

TEST_F(LoadingDeathTest, OneEngineDoesNotLoadTheOther) {
  if (!engine_status(EngineKind::onnxruntime).available) GTEST_SKIP() << engine_status(EngineKind::onnxruntime).remedy;
  const auto only_one = [] {
    const bool loaded = engine_status(EngineKind::onnxruntime).available && mapped("libonnxruntime");
    leave_with(loaded && !mapped("libopenvino") && !mapped("libtorch"), "");
  };
  EXPECT_EXIT(only_one(), ExitedWithCode(0), "");
}

std::ptrdiff_t entries(const std::filesystem::path& folder) {
  return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
}

class NoThreadDeathTest : public LoadingDeathTest, public testing::WithParamInterface<EngineKind> {};

INSTANTIATE_TEST_SUITE_P(Engines, NoThreadDeathTest, testing::Values(EngineKind::onnxruntime, EngineKind::torchscript),
                         [](const auto& tested) { return std::string(to_string(tested.param)); });

TEST_P(NoThreadDeathTest, StartsNoThreadAndLeavesNoFile) {
  if (!engine_status(GetParam()).available) GTEST_SKIP() << engine_status(GetParam()).remedy;
  const auto model = in_format_of(GetParam(), "sed.onnx");
  WHIMBREL_NEED_FILE(model);
  const auto home = std::filesystem::path(testing::TempDir()) / "whimbrel-empty-home";
  std::filesystem::remove_all(home);
  std::filesystem::create_directories(home);
  const auto open_and_run = [&] {
    setenv("HOME", home.c_str(), 1);
    for (const char* variable : {"ORT_DISABLE_TELEMETRY", "CI", "XDG_CACHE_HOME"}) unsetenv(variable);
    std::thread([] {}).join();  // a sanitizer's own thread comes with the first of ours
    const auto threads = entries("/proc/self/task");
    const auto session = open_session(GetParam(), test_file(model), {.batch = 2, .workers = 2});
    session->make_runner()->run();
    leave_with(entries("/proc/self/task") == threads && entries(home) == 0, "");
  };
  EXPECT_EXIT(open_and_run(), ExitedWithCode(0), "");
}

TEST_F(LoadingDeathTest, AMissingOnnxRuntimeSaysHowToGetIt) {
  WHIMBREL_NEED_FILE("linear.onnx");
  EXPECT_EXIT(expect_unavailable(EngineKind::onnxruntime, "WHIMBREL_ONNXRUNTIME", "/nowhere/libonnxruntime.so"),
              ExitedWithCode(0), "/nowhere/libonnxruntime.so.*pip install onnxruntime");
}

TEST_F(LoadingDeathTest, ALibraryThatIsNoOnnxRuntimeIsRefused) {
  WHIMBREL_NEED_FILE("linear.onnx");
  EXPECT_EXIT(expect_unavailable(EngineKind::onnxruntime, "WHIMBREL_ONNXRUNTIME", "libm.so.6"), ExitedWithCode(0),
              "libm.so.6 has no OrtGetApiBase");
}

TEST_F(LoadingDeathTest, AMissingOpenVinoModuleSaysHowToGetIt) {
  WHIMBREL_NEED_FILE("linear.onnx");
  EXPECT_EXIT(expect_unavailable(EngineKind::openvino, "WHIMBREL_ENGINE_PATH", "/nowhere"), ExitedWithCode(0),
              "looked for /nowhere/whimbrel-openvino.so.*pip install openvino");
}

TEST_F(LoadingDeathTest, AMissingTorchScriptModuleSaysHowToGetIt) {
  WHIMBREL_NEED_FILE("linear.pt");
  const auto folder = std::filesystem::path(testing::TempDir()) / "whimbrel-no-modules";
  std::filesystem::create_directories(folder);
  EXPECT_EXIT(expect_unavailable(EngineKind::torchscript, "WHIMBREL_ENGINE_PATH", folder.string()), ExitedWithCode(0),
              "looked for .*whimbrel-no-modules/whimbrel-torchscript.so.*pip install torch");
}

TEST_F(LoadingDeathTest, AModuleThatDoesNotLoadIsRefused) {
  WHIMBREL_NEED_FILE("linear.onnx");
  const auto folder = std::filesystem::path(testing::TempDir()) / "whimbrel-not-a-module";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "whimbrel-openvino.so") << "no library";
  EXPECT_EXIT(expect_unavailable(EngineKind::openvino, "WHIMBREL_ENGINE_PATH", folder.string()), ExitedWithCode(0),
              "OpenVINO did not load.*whimbrel-openvino.so");
}

TEST(EngineStatus, TellsTheVersionOrTheRemedy) {
  for (const auto kind : all_engines()) {
    const auto status = engine_status(kind);
    EXPECT_EQ(status.kind, kind);
    if (status.available) {
      EXPECT_THAT(status.version, testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
      EXPECT_EQ(status.remedy, "");
    } else {
      EXPECT_THAT(status.remedy, HasSubstr("pip install"));
    }
  }
}

TEST(EngineKind, HasAWordForEachEngine) {
  for (const auto kind : all_engines()) EXPECT_EQ(engine_from_string(to_string(kind)), kind);
  EXPECT_EQ(engine_from_string("torch"), std::nullopt);
  EXPECT_EQ(engine_from_string(""), std::nullopt);
}

}  // namespace
}  // namespace whimbrel
