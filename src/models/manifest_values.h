// What the parts of the manifest's reader share.
#pragma once

#include <cmath>
#include <filesystem>
#include <string>
#include <string_view>

#include "models/toml_reader.h"
#include "whimbrel/models.h"

namespace whimbrel {

/// The number at `key`, or `fallback`; refused unless `good`.
template <class Good>
double number(TomlReader& table, std::string_view key, double fallback, std::string_view expected, Good good) {
  const double value = table.number(key, fallback);
  if (table.has(key) && (!std::isfinite(value) || !good(value))) table.refuse(key, expected);
  return value;
}

int integer(TomlReader& table, std::string_view key, int fallback, int low, int high);

/// A file named at `key`: it and what it links to must lie in the manifest's own folder, so that a manifest from elsewhere
/// cannot make whimbrel read other files.
std::filesystem::path file_at(const TomlReader& table, std::string_view key, const std::filesystem::path& manifest,
                              const std::string& named);

/// [postprocess], with its files as they are named; after input and output.
void read_post_process(TomlReader& table, Manifest& m);
/// Then its files.
void find_post_process_files(const TomlReader& table, Manifest& m);

}  // namespace whimbrel
