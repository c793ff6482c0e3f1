// Truth that gives times: event CSV and Raven selection tables.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/truth_classes.h"

namespace whimbrel {

/// Something that was heard, in seconds from the start of its recording.
struct TruthEvent {
  std::string recording;  // file name without folders, as the truth has it
  double start_s = 0;
  double end_s = 0;
  std::size_t class_index = 0;
};

/// What files of this kind are called by the columns of their header.
struct EventColumns {
  std::vector<std::size_t> file;   // empty: the table is of one recording, which its name tells
  std::vector<std::size_t> label;  // all that may name the class
  std::size_t start = 0;
  std::size_t end = 0;
  std::vector<std::size_t> file_offset;  // Raven: start within the file, where several files share one time axis
};

/// False unless the header has times and a label.
bool find_event_columns(const std::vector<std::string>& header, EventColumns& columns);

/// Reads one table, or all of a folder and below (*.txt).
/// @throws Error{invalid_argument} for a header without times and labels, a time that is no number, an end before its start, a
/// class that is not in `classes`, a folder without tables
std::vector<TruthEvent> read_events(const std::filesystem::path& truth, const ClassNames& classes, const std::string& asker);

/// First line of a file that is not blank, as cells, and what separates them.
struct Header {
  std::vector<std::string> cells;
  char separator = ',';
};
/// @throws Error{not_found}, Error{io}, Error{invalid_argument} for an empty file
Header read_header(const std::filesystem::path& path);

/// A decimal, or NaN for anything else.
double decimal(std::string_view text);

/// "Begin Time (s)" is "begin time (s)".
std::string lower(std::string_view text);

/// What truth may look like, for messages.
extern const char* const kTruthForms;

}  // namespace whimbrel
