#include "models/labels.h"

#include <fmt/format.h>

#include <string_view>
#include <unordered_map>
#include <utility>

#include "whimbrel/io.h"

namespace whimbrel {
namespace {

constexpr std::int64_t kMaxLabelsBytes = std::int64_t{64} << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// Takes the next line, without its end, off the front of `text`.
std::string_view take_line(std::string_view& text) {
  const auto end = text.find('\n');
  auto line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

Label parse_label(std::string line) {
  Label label{line, line, line};
  const auto underscore = line.find('_');
  if (underscore == std::string::npos) return label;
  auto first = line.substr(0, underscore);
  auto second = line.substr(underscore + 1);
  const bool two_names = !second.empty() && (first.find(' ') != std::string::npos || first == second);
  if (two_names) label = {std::move(line), std::move(first), std::move(second)};
  return label;
}

std::vector<Label> read_labels(const std::filesystem::path& path) {
  const std::string content = read_file(path, kMaxLabelsBytes);
  std::string_view text = content;
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  std::vector<Label> labels;
  std::unordered_map<std::string_view, std::size_t> line_of;
  std::size_t first_blank = 0;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto line = take_line(text);
    if (line.find_first_not_of(" \t") == std::string_view::npos) {
      if (first_blank == 0) first_blank = number;
      continue;
    }
    if (first_blank != 0) {
      throw Error(ErrorCode::bad_manifest, fmt::format("{}:{}: a blank line between labels, expected one class a line; a class "
                                                       "without a name would shift all that follow",
                                                       path.string(), first_blank));
    }
    if (const auto [twin, is_new] = line_of.try_emplace(line, number); !is_new) {
      throw Error(ErrorCode::bad_manifest, fmt::format("{}:{}: label {:?} stands in line {} too, expected each class once",
                                                       path.string(), number, line, twin->second));
    }
    labels.push_back(parse_label(std::string(line)));
  }
  if (labels.empty())
    throw Error(ErrorCode::bad_manifest, fmt::format("{}: no labels, expected one class a line", path.string()));
  return labels;
}

}  // namespace whimbrel
