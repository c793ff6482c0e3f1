// Files that say something of some classes: a species list, and thresholds.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>
#include <string>
#include <unordered_map>

#include "pipeline/post_process.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

constexpr std::int64_t kMostBytes = std::int64_t{64} << 20;

/// Classes by each of their names.
class ClassNames {
 public:
  explicit ClassNames(const std::vector<Label>& labels) {
    for (std::size_t i = 0; i < labels.size(); ++i) {
      for (const auto& name : std::set<std::string>{labels[i].text, labels[i].scientific, labels[i].common}) {
        classes_[name].push_back(i);
      }
    }
  }

  /// A name that several classes share means all of them.
  const std::vector<std::size_t>& named(const std::string& name, const std::string& where) const {
    if (const auto found = classes_.find(name); found != classes_.end()) return found->second;
    std::vector<std::string> names;
    for (const auto& [known, classes] : classes_) names.push_back(known);
    std::sort(names.begin(), names.end());
    const std::string closest = closest_word(name, names);
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: \"{}\" is no label, scientific or common name of the model's classes{}", where, name,
                            closest.empty() ? "; correct or remove it" : fmt::format("; did you mean \"{}\"?", closest)));
  }

 private:
  std::unordered_map<std::string, std::vector<std::size_t>> classes_;
};

/// Without blanks at both ends.
std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  const auto begin = text.find_first_not_of(kBlanks);
  return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

float threshold_in(const std::string& cell, const std::string& where) {
  double value = 0;
  const auto text = trimmed(cell);
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc() && result.ptr == text.data() + text.size() && value >= 0 && value <= 1) {
    return static_cast<float>(value);
  }
  throw Error(ErrorCode::invalid_argument, fmt::format("{}: threshold \"{}\", expected a number, 0..1", where, cell));
}

}  // namespace

std::vector<bool> listed_classes(const PostProcess& post, const std::vector<Label>& labels) {
  if (post.species_list.empty()) return std::vector<bool>(labels.size(), true);
  const ClassNames names(labels);
  const std::string content = read_file(post.species_list, kMostBytes);
  std::string_view text = content;
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  std::vector<bool> listed(labels.size());
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = text.find('\n');
    const auto name = trimmed(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (name.empty()) continue;
    const auto where = fmt::format("{}:{}", post.species_list.string(), number);
    for (const std::size_t label : names.named(std::string(name), where)) listed[label] = true;
  }
  if (std::find(listed.begin(), listed.end(), true) != listed.end()) return listed;
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format("{}: names no species, expected one label, scientific or common name a line", post.species_list.string()));
}

std::vector<float> class_thresholds(const PostProcess& post, const std::vector<Label>& labels, const std::vector<bool>& listed,
                                    double fallback) {
  std::vector<float> thresholds(labels.size(), static_cast<float>(fallback));
  if (!post.thresholds.empty()) {
    const ClassNames names(labels);
    const CsvTable table = read_csv(post.thresholds);
    const std::size_t name = table.column("class"), value = table.column("threshold");
    std::vector<bool> given(labels.size());
    for (std::size_t i = 0; i < table.rows.size(); ++i) {
      const auto where = fmt::format("{}, row {}", post.thresholds.string(), i + 1);
      const auto& row = table.rows[i];
      for (const std::size_t label : names.named(row[name], where)) {
        if (given[label]) {
          throw Error(ErrorCode::invalid_argument,
                      fmt::format("{}: class \"{}\" has a threshold already, expected one", where, row[name]));
        }
        given[label] = true;
        thresholds[label] = threshold_in(row[value], where);
      }
    }
  }
  for (std::size_t i = 0; i < thresholds.size(); ++i) {
    if (!listed[i]) thresholds[i] = std::numeric_limits<float>::infinity();
  }
  return thresholds;
}

}  // namespace whimbrel
