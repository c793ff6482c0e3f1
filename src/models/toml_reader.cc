#include "models/toml_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <toml++/toml.h>  // heavy: included here and in manifest_copy.cc only
#include <algorithm>
#include <type_traits>

#include "whimbrel/io.h"

namespace whimbrel {
namespace {

/// A value as one would write it in the manifest, on one line.
std::string shown(const toml::node& node) {
  if (const auto* text = node.as_string()) return fmt::format("{:?}", text->get());
  if (const auto* number = node.as_floating_point()) return fmt::to_string(number->get());
  if (const auto* number = node.as_integer()) return fmt::to_string(number->get());
  if (const auto* truth = node.as_boolean()) return fmt::to_string(truth->get());
  if (node.is_table()) return "a table";
  return node.is_array() ? "an array" : "a date or time";
}

}  // namespace

struct TomlReader::Impl {
  struct Document {
    std::string path;
    toml::table root;
  };
  std::shared_ptr<const Document> document;
  const toml::table* table = nullptr;
  std::string section;             // "input.mel"
  std::vector<std::string> asked;  // keys

  const toml::node* get(std::string_view key) {
    asked.emplace_back(key);
    return table == nullptr ? nullptr : table->get(key);
  }
  std::string name_of(std::string_view key) const {
    return section.empty() ? std::string(key) : fmt::format("{}.{}", section, key);
  }
};

TomlReader::TomlReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TomlReader::~TomlReader() = default;
TomlReader::TomlReader(TomlReader&&) noexcept = default;

TomlReader TomlReader::open(const std::filesystem::path& path, std::int64_t max_bytes) {
  return parse(read_file(path, max_bytes), path.string());
}

TomlReader TomlReader::parse(const std::string& text, const std::string& name) {
  try {
    auto document = std::make_shared<const Impl::Document>(Impl::Document{name, toml::parse(text, name)});
    const auto* root = &document->root;
    return TomlReader(std::make_unique<Impl>(Impl{std::move(document), root, "", {}}));
  } catch (const toml::parse_error& error) {
    throw Error(ErrorCode::bad_manifest,
                fmt::format("{}:{}: not TOML: {}; see docs/manifest.md", name, error.source().begin.line, error.description()));
  }
}

bool TomlReader::exists() const { return impl_->table != nullptr; }

bool TomlReader::has(std::string_view key) const { return exists() && impl_->table->contains(key); }

TomlReader TomlReader::table(std::string_view key) {
  const auto* node = impl_->get(key);
  if (node != nullptr && !node->is_table()) refuse(key, fmt::format("a table, [{}]", impl_->name_of(key)));
  return TomlReader(
      std::make_unique<Impl>(Impl{impl_->document, node == nullptr ? nullptr : node->as_table(), impl_->name_of(key), {}}));
}

std::string TomlReader::text(std::string_view key, std::string fallback) {
  const auto* node = impl_->get(key);
  if (node == nullptr) return fallback;
  if (const auto* value = node->as_string()) return value->get();
  refuse(key, "a text in quotes");
}

double TomlReader::number(std::string_view key, double fallback) {
  const auto* node = impl_->get(key);
  if (node == nullptr) return fallback;
  if (const auto* value = node->as_floating_point()) return value->get();
  if (const auto* value = node->as_integer()) return static_cast<double>(value->get());
  refuse(key, "a number");
}

std::int64_t TomlReader::integer(std::string_view key, std::int64_t fallback) {
  const auto* node = impl_->get(key);
  if (node == nullptr) return fallback;
  if (const auto* value = node->as_integer()) return value->get();
  refuse(key, "a whole number");
}

bool TomlReader::boolean(std::string_view key, bool fallback) {
  const auto* node = impl_->get(key);
  if (node == nullptr) return fallback;
  if (const auto* value = node->as_boolean()) return value->get();
  refuse(key, "true or false");
}

std::vector<double> TomlReader::numbers(std::string_view key) {
  std::vector<double> values;
  const auto* node = impl_->get(key);
  if (node == nullptr) return values;
  const auto* array = node->as_array();
  if (array == nullptr) refuse(key, "an array of numbers");
  for (const auto& element : *array) {
    if (!element.is_number()) refuse(key, "an array of numbers");
    values.push_back(element.value_or(0.0));
  }
  return values;
}

void TomlReader::require(std::string_view key, std::string_view expected) {
  if (has(key)) return;
  std::vector<std::string> present;
  if (exists()) {
    for (const auto& [name, node] : *impl_->table) present.emplace_back(name.str());
  }
  const auto close = closest_word(key, present);
  throw Error(ErrorCode::bad_manifest,
              fmt::format("{}: {} is missing, expected {}; {}", where(), impl_->name_of(key), expected,
                          close.empty() ? "add it (docs/manifest.md)" : fmt::format("did you mean it by \"{}\"?", close)));
}

void TomlReader::finish() const {
  if (!exists()) return;
  for (const auto& [key, node] : *impl_->table) {
    const std::string name(key.str());
    if (std::find(impl_->asked.begin(), impl_->asked.end(), name) != impl_->asked.end()) continue;
    const auto close = closest_word(name, impl_->asked);
    throw Error(ErrorCode::bad_manifest,
                fmt::format("{}: unknown key {}, expected one of {}{}", where(name), impl_->name_of(name),
                            fmt::join(impl_->asked, ", "), close.empty() ? "" : fmt::format("; did you mean \"{}\"?", close)));
  }
}

std::string TomlReader::where(std::string_view key) const {
  const auto& path = impl_->document->path;
  if (!exists()) return path;
  const auto entry = impl_->table->find(key);
  const auto line = entry == impl_->table->end() ? impl_->table->source().begin.line : entry->first.source().begin.line;
  // The root has no line of its own.
  return line == 0 || (impl_->section.empty() && entry == impl_->table->end()) ? path : fmt::format("{}:{}", path, line);
}

void TomlReader::refuse(std::string_view key, std::string_view expected) const {
  const auto* node = exists() ? impl_->table->get(key) : nullptr;
  throw Error(ErrorCode::bad_manifest, fmt::format("{}: {}={}, expected {}", where(key), impl_->name_of(key),
                                                   node == nullptr ? "nothing" : shown(*node), expected));
}

void TomlReader::refuse_word(std::string_view key, const std::string& found, const std::vector<std::string>& names) const {
  const auto close = closest_word(found, names);
  refuse(key,
         fmt::format("one of {}{}", fmt::join(names, ", "), close.empty() ? "" : fmt::format("; did you mean \"{}\"?", close)));
}

}  // namespace whimbrel
