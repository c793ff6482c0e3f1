#include "pipeline/truth_events.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <span>

#include "whimbrel/io.h"

namespace whimbrel {

namespace fs = std::filesystem;

const char* const kTruthForms =
    "row_id,<classes> with 0 and 1; row_id,label; file,start_s,end_s,label; a Raven table with Begin Time (s), End Time (s) "
    "and "
    "a label column, or a folder of such tables";

namespace {

// Headers in small letters, best first.
constexpr std::string_view kFile[] = {"file",       "filename",   "file_name", "file name", "recording",
                                      "begin path", "begin file", "path",      "filepath",  "soundscape"};
constexpr std::string_view kStart[] = {"start_s", "start (s)", "start", "start_time", "begin time (s)", "begin_s", "begin"};
constexpr std::string_view kEnd[] = {"end_s", "end (s)", "end", "end_time", "end time (s)"};
constexpr std::string_view kLabel[] = {"label",           "labels",          "common name",  "common_name",  "species",
                                       "scientific name", "scientific_name", "species code", "species_code", "annotation",
                                       "annotations",     "class",           "ebird_code",   "primary_label"};
constexpr std::string_view kOffset[] = {"file offset (s)"};

std::vector<std::size_t> columns_of(const std::vector<std::string>& header, std::span<const std::string_view> names) {
  std::vector<std::size_t> columns;
  for (const auto name : names) {
    const auto found =
        std::find_if(header.begin(), header.end(), [&](const auto& cell) { return lower(trimmed(cell)) == name; });
    if (found != header.end()) columns.push_back(static_cast<std::size_t>(found - header.begin()));
  }
  return columns;
}

/// Truth may have been written on another system: both slashes end a folder.
std::string file_name_of(std::string_view path) {
  const auto slash = path.find_last_of("/\\");
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

/// "dawn_5000" of "dawn_5000.selections.txt" and "dawn_5000.Table.1.selections.txt".
std::string recording_of_table(const fs::path& path) {
  std::string name = path.filename().string();
  for (const std::string_view end : {".txt", ".tsv", ".csv", ".selections"}) {
    if (lower(name).ends_with(end)) name.resize(name.size() - end.size());
  }
  const auto number = name.find_last_not_of("0123456789");
  constexpr std::string_view kTable = ".table.";
  if (number != std::string::npos && number + 1 < name.size() && lower(name.substr(0, number + 1)).ends_with(kTable)) {
    name.resize(number + 1 - kTable.size());
  }
  return name;
}

double time_of(const std::vector<std::string>& row, std::size_t column, const CsvTable& table, const std::string& where) {
  const double value = decimal(row[column]);
  if (std::isfinite(value)) return value;
  throw Error(ErrorCode::invalid_argument, fmt::format("{}: column \"{}\" is \"{}\", expected seconds, such as 12.5", where,
                                                       table.header[column], row[column]));
}

/// Adds what one row says; nothing for "nocall".
void add_event(const std::vector<std::string>& row, const EventColumns& columns, const CsvTable& table,
               const ClassNames& classes, const std::string& asker, const std::string& where, TruthEvent event,
               std::vector<TruthEvent>& events) {
  event.start_s = time_of(row, columns.start, table, where);
  event.end_s = time_of(row, columns.end, table, where);
  if (event.end_s < event.start_s) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: from {} to {} s, expected an end that is not before the start",
                                                         where, event.start_s, event.end_s));
  }
  if (!columns.file.empty() && !columns.file_offset.empty()) {
    const double offset = time_of(row, columns.file_offset[0], table, where);
    event.end_s += offset - event.start_s;
    event.start_s = offset;
  }
  std::string_view named;  // the first cell that is not empty
  for (const auto column : columns.label) {
    if (const auto found = classes.find(row[column])) {
      event.class_index = *found;
      events.push_back(std::move(event));
      return;
    }
    if (named.empty()) named = trimmed(row[column]);
  }
  if (named.empty()) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: no label in column \"{}\", expected a class, or nocall", where,
                                                         table.header[columns.label[0]]));
  }
  if (!ClassNames::is_nothing(named)) classes.refuse(named, where, asker);
}

void read_table(const fs::path& path, const ClassNames& classes, const std::string& asker, std::vector<TruthEvent>& events) {
  const auto table = read_csv(path, read_header(path).separator);
  EventColumns columns;
  if (!find_event_columns(table.header, columns)) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: a header without times and a label, expected {}", path.string(), kTruthForms));
  }
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const auto& row = table.rows[i];
    const auto where = fmt::format("{}, row {} below the header", path.string(), i + 1);
    TruthEvent event;
    event.recording = columns.file.empty() ? recording_of_table(path) : file_name_of(trimmed(row[columns.file[0]]));
    add_event(row, columns, table, classes, asker, where, std::move(event), events);
  }
}

}  // namespace

std::string lower(std::string_view text) {
  std::string small(text);
  for (char& c : small) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return small;
}

double decimal(std::string_view text) {
  text = trimmed(text);
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() && result.ptr == text.data() + text.size() ? value : std::nan("");
}

bool find_event_columns(const std::vector<std::string>& header, EventColumns& columns) {
  const auto start = columns_of(header, kStart), end = columns_of(header, kEnd);
  columns.file = columns_of(header, kFile);
  columns.label = columns_of(header, kLabel);
  columns.file_offset = columns_of(header, kOffset);
  if (start.empty() || end.empty() || columns.label.empty()) return false;
  columns.start = start[0];
  columns.end = end[0];
  return true;
}

Header read_header(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    std::error_code ignored;
    const bool there = fs::exists(path, ignored);
    throw Error(there ? ErrorCode::io : ErrorCode::not_found,
                fmt::format("{}: {}, expected a file of truth", path.string(), there ? "unreadable" : "no such file"));
  }
  std::string line;
  while (read_line(in, line, path)) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty()) continue;
    Header header;
    header.separator = line.find('\t') != std::string::npos ? '\t' : ',';
    header.cells = parse_csv(line, path.string(), header.separator).header;
    return header;
  }
  throw Error(ErrorCode::invalid_argument, fmt::format("{}: empty, expected {}", path.string(), kTruthForms));
}

std::vector<TruthEvent> read_events(const fs::path& truth, const ClassNames& classes, const std::string& asker) {
  std::vector<TruthEvent> events;
  std::error_code failed;
  if (!fs::is_directory(truth, failed)) {
    read_table(truth, classes, asker, events);
    return events;
  }
  std::vector<fs::path> tables;
  for (auto entry = fs::recursive_directory_iterator(truth, failed); !failed && entry != end(entry); entry.increment(failed)) {
    std::error_code ignored;  // a broken link is no table
    if (entry->is_regular_file(ignored) && lower(entry->path().extension().string()) == ".txt") tables.push_back(entry->path());
  }
  if (failed) throw Error(ErrorCode::io, fmt::format("{}: cannot list this folder: {}", truth.string(), failed.message()));
  if (tables.empty()) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("{}: no .txt in this folder, expected Raven tables named <recording>.selections.txt", truth.string()));
  }
  std::sort(tables.begin(), tables.end());
  for (const auto& table : tables) read_table(table, classes, asker, events);
  return events;
}

}  // namespace whimbrel
