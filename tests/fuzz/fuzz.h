// What the fuzz targets share: files in memory for parsers that take a path, and what counts as an answer.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "whimbrel/core.h"

namespace whimbrel::fuzz {

/// A folder in memory, of this process alone.
class Folder {
 public:
  Folder() {
    std::error_code failed;
    const std::filesystem::path memory = "/dev/shm";
    const auto root = std::filesystem::is_directory(memory, failed) ? memory : std::filesystem::temp_directory_path();
    path_ = root / ("whimbrel-fuzz-" + std::to_string(::getpid()));
    std::filesystem::create_directories(path_);
  }
  ~Folder() {
    std::error_code failed;
    std::filesystem::remove_all(path_, failed);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

  std::filesystem::path write(const std::string& name, std::string_view bytes) const {
    auto path = path_ / name;
    std::FILE* file = std::fopen(path.c_str(), "wb");
    if (file == nullptr || std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size()) std::abort();
    std::fclose(file);
    return path;
  }

 private:
  std::filesystem::path path_;
};

/// Runs a parser. An Error is as good an answer as a value; whatever else is thrown ends the process, and libFuzzer tells of
/// it.
template <class Parse>
bool answers(Parse&& parse) {
  try {
    parse();
    return true;
  } catch (const Error&) {
    return false;
  }
}

inline void require(bool holds) {
  if (!holds) std::abort();
}

/// The parts of an input that stands for several files: they are divided by lines "%%%".
inline std::vector<std::string_view> parts(std::string_view input, std::size_t count) {
  constexpr std::string_view kDivider = "%%%\n";
  std::vector<std::string_view> found;
  while (found.size() + 1 < count) {
    const auto at = input.find(kDivider);
    found.push_back(input.substr(0, at));
    input.remove_prefix(at == std::string_view::npos ? input.size() : at + kDivider.size());
  }
  found.push_back(input);
  return found;
}

inline std::string_view text(const std::uint8_t* data, std::size_t size) { return {reinterpret_cast<const char*>(data), size}; }

}  // namespace whimbrel::fuzz
