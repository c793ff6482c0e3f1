#include "models/manifest_values.h"

#include <fmt/format.h>

#include <system_error>

namespace whimbrel {

namespace fs = std::filesystem;

int integer(TomlReader& table, std::string_view key, int fallback, int low, int high) {
  const auto value = table.integer(key, fallback);
  if (table.has(key) && (value < low || value > high)) table.refuse(key, fmt::format("a whole number, {}..{}", low, high));
  return static_cast<int>(value);
}

fs::path file_at(const TomlReader& table, std::string_view key, const fs::path& manifest, const std::string& named) {
  const fs::path folder = manifest.has_parent_path() ? manifest.parent_path() : ".";
  std::error_code error;
  const auto relative = fs::weakly_canonical(folder / named, error).lexically_relative(fs::weakly_canonical(folder, error));
  if (relative.empty() || relative == "." || *relative.begin() == "..") {
    table.refuse(key, "a file inside the manifest's own folder, symbolic links resolved; move it there");
  }
  if (!fs::is_regular_file(folder / named, error)) {
    throw Error(ErrorCode::not_found, fmt::format("{}: {} names {}, expected a file there, beside the manifest",
                                                  table.where(key), key, (folder / named).string()));
  }
  return folder / named;
}

}  // namespace whimbrel
