#include "pipeline/truth.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "pipeline/row_table.h"
#include "pipeline/truth_classes.h"
#include "pipeline/truth_events.h"
#include "pipeline/truth_windows.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using Index = std::unordered_map<std::string_view, std::size_t>;

/// A decimal as float32, or NaN for anything else.
float number(std::string_view text) {
  text = trimmed(text);
  float value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc::result_out_of_range) {  // written in double: 1e-60 is 0 here, and no fault of the file
    return static_cast<float>(decimal(text));
  }
  return result.ec == std::errc() && result.ptr == text.data() + text.size() ? value : std::nanf("");
}

[[noreturn]] void bad_cell(const RowTableReader& table, std::size_t column, std::string_view expected) {
  throw Error(ErrorCode::invalid_argument, fmt::format("{}: row \"{}\", column \"{}\" is \"{}\", expected {}", table.where(),
                                                       table.row_id(), table.classes()[column], table.cell(column), expected));
}

[[noreturn]] void row_twice(const std::string& where, std::string_view row_id) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: row \"{}\" is there before, expected each row once", where, row_id));
}

Index index_of(std::span<const std::string> names) {
  Index index;
  for (std::size_t i = 0; i < names.size(); ++i) index.emplace(names[i], i);
  return index;
}

/// Rows or recordings of the truth that nobody asked for: the first one, and how many.
class Strangers {
 public:
  void add(std::string_view name) {
    if (first_.empty()) first_ = name;
    names_.emplace(name);
  }
  void know() { ++known_; }

  /// @param what  "row" or "recording"
  void check(const TruthRequest& request, std::string_view what) const {
    if (names_.empty() || (!request.complete && known_ > 0)) return;
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} \"{}\" of {} is not in {} ({} such in all), expected truth of the same recordings; is this the "
                            "right truth?",
                            what, first_, request.truth.string(), request.asker, names_.size()));
  }

 private:
  std::string first_;
  std::unordered_set<std::string> names_;
  std::size_t known_ = 0;
};

/// Column of each class. @throws Error{invalid_argument} for a class that only one side has
std::vector<std::size_t> columns_of(const TruthRequest& request, const std::vector<std::string>& columns) {
  const auto there = index_of(columns);
  std::vector<std::size_t> found;
  std::vector<std::string> missing;
  for (const auto& name : request.classes) {
    const auto column = there.find(name);
    column == there.end() ? missing.push_back(name) : found.push_back(column->second);
  }
  if (!missing.empty()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: no column for class \"{}\" of {} ({} such in all), expected one for each label",
                            request.truth.string(), missing[0], request.asker, missing.size()));
  }
  const auto asked = index_of(request.classes);
  std::vector<std::string> unknown;
  for (const auto& name : columns) {
    if (!asked.contains(name)) unknown.push_back(name);
  }
  if (unknown.empty() || !request.complete) return found;
  const auto close = closest_word(unknown[0], request.classes);
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: class \"{}\" is not in {} ({} such in all), expected the same classes{}", request.truth.string(),
                          unknown[0], request.asker, unknown.size(),
                          close.empty() ? "" : fmt::format("; did you mean \"{}\"?", close)));
}

std::vector<std::uint8_t> read_one_hot(const TruthRequest& request) {
  RowTableReader table(request.truth);
  const auto columns = columns_of(request, table.classes());
  const auto rows = index_of(request.row_ids);
  const std::size_t classes = columns.size();
  std::vector<std::uint8_t> truth(rows.size() * classes);
  std::vector<char> given(rows.size());
  std::unordered_set<std::string> seen;
  Strangers strangers;
  while (table.next()) {
    if (!seen.emplace(table.row_id()).second) row_twice(table.where(), table.row_id());
    const auto row = rows.find(table.row_id());
    for (std::size_t c = 0; c < classes; ++c) {
      const float value = number(table.cell(columns[c]));
      if (value != 0 && value != 1) bad_cell(table, columns[c], "0 or 1");
      if (row != rows.end()) truth[row->second * classes + c] = value == 1 ? 1 : 0;
    }
    if (row == rows.end()) {
      strangers.add(table.row_id());
      continue;
    }
    strangers.know();
    given[row->second] = 1;
  }
  const auto missing = std::find(given.begin(), given.end(), 0);
  if (missing != given.end()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: no row \"{}\" of {} ({} such in all), expected one for each window; {}",
                            request.truth.string(), request.row_ids[static_cast<std::size_t>(missing - given.begin())],
                            request.asker, std::count(missing, given.end(), 0), request.remedy));
  }
  strangers.check(request, "row");
  return truth;
}

std::vector<std::uint8_t> read_row_labels(const TruthRequest& request) {
  const auto table = read_csv(request.truth);
  const ClassNames names(request.classes);
  const auto rows = index_of(request.row_ids);
  const std::size_t classes = request.classes.size();
  std::vector<std::uint8_t> truth(rows.size() * classes);
  Strangers strangers;
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const auto& cells = table.rows[i];
    const auto where = fmt::format("{}, row {} below the header (\"{}\")", request.truth.string(), i + 1, cells[0]);
    const auto found = names.find_all(cells[1], where, request.asker);
    const auto row = rows.find(cells[0]);
    if (row == rows.end()) {
      strangers.add(cells[0]);
      continue;
    }
    strangers.know();
    for (const auto c : found) truth[row->second * classes + c] = 1;
  }
  strangers.check(request, "row");
  return truth;
}

std::vector<std::uint8_t> place_events(const TruthRequest& request) {
  const auto events = read_events(request.truth, ClassNames(request.classes), request.asker);
  const TruthWindows windows(request.row_ids, request.window_s, request.asker);
  const std::size_t classes = request.classes.size();
  std::vector<std::uint8_t> truth(request.row_ids.size() * classes);
  Strangers strangers;
  for (const auto& event : events) {
    if (windows.recording_of(event.recording).empty()) {
      strangers.add(event.recording);
      continue;
    }
    strangers.know();
    for (const auto row : windows.rows_of(event, request.options.min_overlap_s)) truth[row * classes + event.class_index] = 1;
  }
  strangers.check(request, "recording");
  return truth;
}

/// Truth tells windows apart by their names alone.
void check_distinct(const TruthRequest& request) {
  std::unordered_set<std::string_view> seen;
  for (const auto& id : request.row_ids) {
    if (seen.insert(id).second) continue;
    throw Error(ErrorCode::invalid_argument,
                fmt::format("two windows are called \"{}\", expected recordings of different names, as {} cannot tell them "
                            "apart; rename one",
                            id, request.truth.string()));
  }
}

std::vector<std::uint8_t> read_any(const TruthRequest& request) {
  std::error_code ignored;  // what cannot even be looked at is told by who opens it
  if (!fs::exists(request.truth, ignored)) {
    throw Error(ErrorCode::not_found, fmt::format("{}: no such file or folder, expected truth", request.truth.string()));
  }
  if (fs::is_directory(request.truth, ignored)) return place_events(request);
  const auto header = read_header(request.truth);
  if (header.separator == ',' && header.cells.size() > 1 && header.cells[0] == "row_id") {
    const bool labels = header.cells.size() == 2 && (lower(header.cells[1]) == "label" || lower(header.cells[1]) == "labels");
    return labels && request.classes != std::vector<std::string>{header.cells[1]} ? read_row_labels(request)
                                                                                  : read_one_hot(request);
  }
  EventColumns columns;
  if (find_event_columns(header.cells, columns)) return place_events(request);
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: header of {} columns that starts with \"{}\", expected {}", request.truth.string(),
                          header.cells.size(), header.cells[0], kTruthForms));
}

/// Classes, rows and scores of a submission.
ScoredTable read_predictions(const fs::path& path) {
  RowTableReader table(path);
  ScoredTable read;
  read.classes = table.classes();
  std::unordered_set<std::string> seen;
  while (table.next()) {
    read.rows.emplace_back(table.row_id());
    if (!seen.insert(read.rows.back()).second) row_twice(table.where(), table.row_id());
    for (std::size_t column = 0; column < read.classes.size(); ++column) {
      read.scores.push_back(number(table.cell(column)));
      if (!std::isfinite(read.scores.back())) bad_cell(table, column, "a finite number");
    }
  }
  return read;
}

}  // namespace

std::vector<std::uint8_t> truth_of(const TruthRequest& request) {
  for (const double seconds : {request.window_s, request.options.min_overlap_s}) {
    if (std::isfinite(seconds) && seconds >= 0) continue;
    throw Error(ErrorCode::invalid_argument,
                fmt::format("window or overlap of {} s, expected a length of 0 s or more", seconds));
  }
  check_distinct(request);
  auto truth = read_any(request);
  if (std::any_of(truth.begin(), truth.end(), [](auto t) { return t != 0; })) return truth;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: none of {} windows is positive for any of {} classes, expected at least one; is this the right "
                          "truth?",
                          request.truth.string(), request.row_ids.size(), request.classes.size()));
}

std::vector<std::uint8_t> truth_of(const fs::path& truth, std::span<const std::string> row_ids,
                                   const std::vector<std::string>& classes, double window_s, const TruthOptions& options) {
  return truth_of({.truth = truth,
                   .row_ids = row_ids,
                   .classes = classes,
                   .window_s = window_s,
                   .options = options,
                   .asker = options.complete ? "the recordings" : "the model",
                   .remedy = "leave out recordings without truth",
                   .complete = options.complete});
}

ScoredTable join_predictions(const fs::path& predictions, const fs::path& truth, const JoinOptions& options) {
  ScoredTable joined = read_predictions(predictions);
  joined.truth = truth_of({.truth = truth,
                           .row_ids = joined.rows,
                           .classes = joined.classes,
                           .window_s = options.window_s,
                           .options = options.truth,
                           .asker = predictions.string(),
                           .remedy = "score files of the same recordings"});
  return joined;
}

}  // namespace whimbrel
