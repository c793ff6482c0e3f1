// A place of the running test's own for tuning.json, and a copy of the example's model, with INT8 models that are none.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "whimbrel/io.h"
#include "whimbrel/quantize.h"

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

  std::filesystem::path beside(const std::string& name) const { return model_.parent_path() / name; }

  /// The example's network under another name, with a certificate. Protobuf messages that follow each other are one.
  void write_int8(const std::string& stem, const Verdict& verdict) const {
    const auto field = [](char tag, const std::string& bytes) {
      std::string text(1, tag);
      auto size = bytes.size();
      for (; size > 127; size >>= 7) text += static_cast<char>(size | 128);
      return text + static_cast<char>(size) + bytes;
    };
    const auto entry = field('\x0a', kCertificateKey) + field('\x12', verdict_json(verdict));  // metadata_props: field 14
    write(beside(stem + ".onnx"), read_file(beside("dawn_chorus.onnx")) + field('\x72', entry));
    auto manifest = read_file(model_);
    const std::string file = "\"dawn_chorus.onnx\"";
    write(beside(stem + ".toml"), manifest.replace(manifest.find(file), file.size(), "\"" + stem + ".onnx\""));
  }

  Verdict verdict() const {
    return {
        .cpu = "any", .source = "dawn_chorus.onnx", .source_hash = file_hash(beside("dawn_chorus.onnx")), .words = "as good"};
  }

  std::filesystem::path folder_;
  std::filesystem::path model_;
};

}  // namespace whimbrel
