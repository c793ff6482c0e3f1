#include <fmt/format.h>

#include <toml++/toml.h>
#include <sstream>

#include "whimbrel/io.h"
#include "whimbrel/models.h"

namespace whimbrel {

std::string derived_manifest(const std::filesystem::path& manifest, const DerivedModel& model) {
  toml::table root;
  try {
    root = toml::parse(read_file(manifest));
  } catch (const toml::parse_error& e) {
    throw Error(ErrorCode::bad_manifest, fmt::format("{}: {}; correct it", manifest.string(), e.description()));
  }
  auto* table = root["model"].as_table();
  if (table == nullptr) throw Error(ErrorCode::bad_manifest, manifest.string() + ": [model] is missing; correct it");
  table->insert_or_assign("name", model.name);
  table->insert_or_assign("file", model.file);
  root.insert_or_assign("probe", toml::table{{"output", model.probe_file}, {"tolerance", model.probe_tolerance}});
  std::ostringstream text;
  text << root << '\n';
  return text.str();
}

}  // namespace whimbrel
