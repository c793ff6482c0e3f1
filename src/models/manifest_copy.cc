#include <fmt/format.h>

#include <toml++/toml.h>

#include "whimbrel/io.h"
#include "whimbrel/models.h"

namespace whimbrel {
namespace {

/// Where a position stands in the text; toml++ counts lines and characters from 1.
std::size_t offset_of(const std::string& text, toml::source_position position) {
  std::size_t at = 0;
  for (toml::source_index line = 1; line < position.line; ++line) at = text.find('\n', at) + 1;
  for (toml::source_index column = 1; column < position.column; ++column) {
    do ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);  // the rest of a UTF-8 character
  }
  return at;
}

toml::table parsed(const std::string& text, const std::filesystem::path& manifest) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& e) {
    throw Error(ErrorCode::bad_manifest, fmt::format("{}: {}; correct it", manifest.string(), e.description()));
  }
}

void replace(std::string& text, const toml::node& node, const std::string& value) {
  const std::size_t begin = offset_of(text, node.source().begin);
  text.replace(begin, offset_of(text, node.source().end) - begin, value);
}

/// Only where [probe] can be told apart from what stands around it, which is checked by reading the result again.
void set_tolerance(std::string& text, double tolerance, const std::filesystem::path& manifest) {
  const auto root = parsed(text, manifest);
  const auto* probe = root["probe"].as_table();
  const auto* output = probe == nullptr ? nullptr : probe->get("output");
  if (output == nullptr) return;
  const std::string value = fmt::format("{:.3g}", tolerance);
  if (const auto* old = probe->get("tolerance"))
    replace(text, *old, value);
  else
    text.insert(offset_of(text, output->source().end), (probe->is_inline() ? ", tolerance = " : "\ntolerance = ") + value);
  if (parsed(text, manifest)["probe"]["tolerance"].value<double>()) return;
  throw Error(ErrorCode::bad_manifest,
              fmt::format("{}: [probe] is written so that its tolerance cannot be changed, expected a table "
                          "of its own; write it as [probe] with its keys below",
                          manifest.string()));
}

}  // namespace

ManifestCopy manifest_for(const std::filesystem::path& manifest, const std::string& model_file,
                          std::optional<double> probe_tolerance) {
  ManifestCopy copy{.text = read_file(manifest)};
  const auto root = parsed(copy.text, manifest);
  const auto file = root["model"]["file"];
  if (!file.is_string()) {
    throw Error(ErrorCode::bad_manifest, manifest.string() + ": model.file is missing, expected the name of the model file");
  }
  for (const auto& named : {root["model"]["labels"], root["probe"]["output"], root["postprocess"]["species_list"],
                            root["postprocess"]["thresholds"]}) {
    if (const auto* text = named.as_string()) copy.companions.emplace_back(text->get());
  }
  replace(copy.text, *file.node(), toml_string(model_file));
  if (probe_tolerance) set_tolerance(copy.text, *probe_tolerance, manifest);
  return copy;
}

}  // namespace whimbrel
