#include "pipeline/truth.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <unordered_map>
#include <utility>

#include "pipeline/row_table.h"

namespace whimbrel {
namespace {

using Index = std::unordered_map<std::string, std::size_t>;

/// A decimal as float32, or NaN for anything else.
float number(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return std::nanf("");
  text = text.substr(first, text.find_last_not_of(' ') - first + 1);
  float value = 0;
  auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc::result_out_of_range) {  // written in double: 1e-60 is 0 here, and no fault of the file
    double wide = 0;
    result = std::from_chars(text.data(), text.data() + text.size(), wide);
    value = static_cast<float>(wide);
  }
  const bool whole = result.ec == std::errc() && result.ptr == text.data() + text.size();
  return whole ? value : std::nanf("");
}

[[noreturn]] void bad_cell(const RowTableReader& table, std::size_t column, std::string_view expected) {
  throw Error(ErrorCode::invalid_argument, fmt::format("{}: row \"{}\", column \"{}\" is \"{}\", expected {}", table.where(),
                                                       table.row_id(), table.classes()[column], table.cell(column), expected));
}

[[noreturn]] void one_sided(const std::filesystem::path& has, const std::filesystem::path& lacks, std::string_view what,
                            std::string_view first, std::size_t count) {
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format("{} \"{}\" of {} is not in {} ({} such in all), expected both to have the same; score files of the same "
                  "recordings and labels",
                  what, first, has.string(), lacks.string(), count));
}

Index index_of(const std::vector<std::string>& names) {
  Index index;
  for (std::size_t i = 0; i < names.size(); ++i) index.emplace(names[i], i);
  return index;
}

/// @throws Error{invalid_argument} when `names` (of `has`) has one that is not in `index` (of `lacks`)
void require_all(const std::vector<std::string>& names, const Index& index, const std::filesystem::path& has,
                 const std::filesystem::path& lacks) {
  const auto absent = [&](const std::string& name) { return !index.contains(name); };
  const auto first = std::find_if(names.begin(), names.end(), absent);
  if (first == names.end()) return;
  one_sided(has, lacks, "class", *first, static_cast<std::size_t>(std::count_if(first, names.end(), absent)));
}

/// Fills classes, rows and truth. Returns the position of each row id.
Index read_truth(RowTableReader& table, ScoredTable& joined) {
  Index rows;
  joined.classes = table.classes();
  while (table.next()) {
    joined.rows.emplace_back(table.row_id());
    if (!rows.emplace(joined.rows.back(), joined.rows.size() - 1).second) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: row \"{}\" is there before, expected each row once", table.where(), table.row_id()));
    }
    for (std::size_t column = 0; column < joined.classes.size(); ++column) {
      const float value = number(table.cell(column));
      if (value != 0 && value != 1) bad_cell(table, column, "0 or 1");
      joined.truth.push_back(value == 1);
    }
  }
  return rows;
}

}  // namespace

ScoredTable join_predictions(const std::filesystem::path& predictions, const std::filesystem::path& truth) {
  ScoredTable joined;
  RowTableReader truth_table(truth);
  RowTableReader table(predictions);
  const Index columns = index_of(truth_table.classes());
  require_all(table.classes(), columns, predictions, truth);
  require_all(truth_table.classes(), index_of(table.classes()), truth, predictions);

  const Index rows = read_truth(truth_table, joined);
  std::vector<std::size_t> target;  // where a column of the predictions goes
  for (const auto& name : table.classes()) target.push_back(columns.at(name));

  const std::size_t classes = joined.classes.size();
  joined.scores.resize(joined.truth.size());
  std::vector<char> given(joined.rows.size());
  std::string unknown;
  std::size_t unknown_count = 0;
  while (table.next()) {
    const auto row = rows.find(std::string(table.row_id()));
    if (row == rows.end()) {
      if (unknown_count++ == 0) unknown = table.row_id();
      continue;
    }
    if (std::exchange(given[row->second], 1) != 0) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: row \"{}\" is there before, expected each row once", table.where(), table.row_id()));
    }
    for (std::size_t column = 0; column < classes; ++column) {
      const float value = number(table.cell(column));
      if (!std::isfinite(value)) bad_cell(table, column, "a finite number");
      joined.scores[row->second * classes + target[column]] = value;
    }
  }
  if (unknown_count > 0) one_sided(predictions, truth, "row", unknown, unknown_count);
  const auto missing = std::find(given.begin(), given.end(), 0);
  if (missing != given.end()) {
    one_sided(truth, predictions, "row", joined.rows[static_cast<std::size_t>(missing - given.begin())],
              static_cast<std::size_t>(std::count(missing, given.end(), 0)));
  }
  return joined;
}

}  // namespace whimbrel
