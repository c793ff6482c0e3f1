#include "pipeline/truth_classes.h"

#include <fmt/format.h>

#include "whimbrel/models.h"

namespace whimbrel {
namespace {

constexpr std::size_t kSeveral = static_cast<std::size_t>(-1);

/// The parts of `text` between separators, trimmed, without empty ones.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const auto end = text.find(separator);
    if (const auto part = trimmed(text.substr(0, end)); !part.empty()) parts.push_back(part);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return parts;
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

ClassNames::ClassNames(const std::vector<std::string>& classes) : count_(classes.size()) {
  for (std::size_t i = 0; i < classes.size(); ++i) {
    index_.emplace(trimmed(classes[i]), i);
    names_.emplace_back(trimmed(classes[i]));
  }
  const auto texts = index_;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const auto label = parse_label(classes[i]);
    for (const auto& name : {label.scientific, label.common}) {
      if (texts.contains(name)) continue;
      const auto [entry, is_new] = index_.emplace(name, i);
      if (is_new) names_.push_back(name);
      if (entry->second != i) entry->second = kSeveral;
    }
  }
}

std::optional<std::size_t> ClassNames::find(std::string_view name) const {
  const auto found = index_.find(std::string(trimmed(name)));
  if (found == index_.end() || found->second == kSeveral) return std::nullopt;
  return found->second;
}

bool ClassNames::is_nothing(std::string_view name) { return trimmed(name).empty() || trimmed(name) == "nocall"; }

std::vector<std::size_t> ClassNames::find_all(std::string_view cell, const std::string& where, const std::string& asker) const {
  if (const auto whole = find(cell)) return {*whole};
  std::vector<std::size_t> found;
  for (const auto part : split(cell, ';')) {
    if (const auto one = find(part)) {
      found.push_back(*one);
      continue;
    }
    const auto before = found.size();
    std::string_view unknown;
    for (const auto word : split(part, ' ')) {
      if (const auto one = find(word)) {
        found.push_back(*one);
      } else if (!is_nothing(word) && unknown.empty()) {
        unknown = word;
      }
    }
    if (!unknown.empty()) refuse(found.size() > before ? unknown : part, where, asker);
  }
  return found;
}

void ClassNames::refuse(std::string_view name, const std::string& where, const std::string& asker) const {
  if (index_.contains(std::string(trimmed(name)))) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: \"{}\" names several classes of {}, expected one; write the whole label", where, name, asker));
  }
  const auto close = closest_word(name, names_);
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: \"{}\" is no class of {}, expected one of its {}{}", where, name, asker, count_,
                          close.empty() ? "; leave out what the model does not know" : "; did you mean \"" + close + "\"?"));
}

}  // namespace whimbrel
