// A place of the running test's own for tuning.json, and a copy of the example's model.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace whimbrel {

class InCache : public ::testing::Test {
 protected:
  InCache() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(::testing::TempDir()) /
              (std::string(test->test_suite_name()) + "-" + test->name() + "-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    std::filesystem::copy(WHIMBREL_SOURCE_DIR "/examples/dawn_chorus/model", folder_ / "model");
    model_ = folder_ / "model" / "dawn_chorus.toml";
    use_cache(folder_ / "cache");
  }
  ~InCache() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
    use_cache("/dev/null/no-cache");
  }

  static void use_cache(const std::filesystem::path& folder) { setenv("WHIMBREL_CACHE", folder.c_str(), 1); }

  static void write(const std::filesystem::path& path, std::string_view text) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }

  std::filesystem::path folder_;
  std::filesystem::path model_;
};

}  // namespace whimbrel
