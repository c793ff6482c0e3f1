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
  const auto path = path_inside(manifest.parent_path(), named);
  if (!path) table.refuse(key, "a file inside the manifest's own folder, symbolic links resolved; move it there");
  std::error_code error;
  if (!fs::is_regular_file(*path, error)) {
    throw Error(ErrorCode::not_found, fmt::format("{}: {} names {}, expected a file there, beside the manifest",
                                                  table.where(key), key, path->string()));
  }
  return *path;
}

}  // namespace whimbrel
