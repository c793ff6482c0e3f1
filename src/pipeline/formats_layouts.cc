// Header and line of each format that lists detections. Those that BirdNET-Analyzer has too follow it, so that what reads its
// files reads ours.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "pipeline/formats_detections.h"
#include "pipeline/formats_text.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

void csv_line(std::string& out, const FormatContext&, const DetectionLine& d) {
  fmt::format_to(std::back_inserter(out), "{},{},{},{},{:.4f},{}", d.start_s, d.end_s, csv_cell(d.label.scientific),
                 csv_cell(d.label.common), d.score, csv_cell(d.recording.path.string()));
}

void csv_times(std::string& out, const DetectionLine& d) {
  fmt::format_to(std::back_inserter(out), ",{},{}", d.start_time, d.end_time);
}

void raven_line(std::string& out, const FormatContext& context, const DetectionLine& d) {
  fmt::format_to(std::back_inserter(out), "{}\tSpectrogram 1\t1\t{}\t{}\t0\t{}\t{}\t{}\t{:.4f}\t{}\t{}", d.number, d.start_s,
                 d.end_s, context.grid.sample_rate_hz / 2, flat_text(d.label.common), flat_text(d.label.text), d.score,
                 flat_text(d.recording.path.string()), d.start_s);
}

// Raven and Kaleidoscope show the recorder's wall clock and have no zone: both are cut from rfc3339()'s text.
constexpr std::size_t kDateSize = std::string_view("2023-05-01").size();
constexpr std::size_t kTimeAt = kDateSize + 1;

/// "2023/05/01 05:00:05.000"
void raven_times(std::string& out, const DetectionLine& d) {
  out += '\t';
  if (d.start_time.empty()) return;
  std::string date = d.start_time.substr(0, kDateSize);
  std::ranges::replace(date, '-', '/');
  fmt::format_to(std::back_inserter(out), "{} {}", date, d.start_time.substr(kTimeAt, std::string_view("05:00:05.000").size()));
}

void audacity_line(std::string& out, const FormatContext&, const DetectionLine& d) {
  const bool one_name = d.label.scientific == d.label.common;
  const std::string name = one_name ? d.label.text : d.label.scientific + ", " + d.label.common;
  fmt::format_to(std::back_inserter(out), "{}\t{}\t{}\t{:.4f}", d.start_s, d.end_s, flat_text(name), d.score);
}

/// The folder that was given as input: the recording's path without its relative part.
std::filesystem::path input_folder(const RecordingName& recording) {
  std::filesystem::path folder = recording.path;
  for (auto part = recording.relative.begin(); part != recording.relative.end(); ++part) folder = folder.parent_path();
  return folder.empty() ? "." : folder;
}

/// Kaleidoscope shows the columns that it knows: the confidence goes into TOP1DIST, as BirdNET-Analyzer has it since its pull
/// request 856 (there is no distance to invert).
void kaleidoscope_line(std::string& out, const FormatContext&, const DetectionLine& d) {
  fmt::format_to(std::back_inserter(out), "{},{},{},{},{},{},{:.4f}", csv_cell(input_folder(d.recording).string()),
                 csv_cell(d.recording.relative.parent_path().string()), csv_cell(d.recording.relative.filename().string()),
                 d.start_s, d.duration_s, csv_cell(d.label.common), d.score);
}

/// "2023-05-01,05:00:05,5"
void kaleidoscope_times(std::string& out, const DetectionLine& d) {
  if (d.start_time.empty()) {
    out += ",,,";
    return;
  }
  const auto time = d.start_time.substr(kTimeAt, std::string_view("05:00:05").size());
  fmt::format_to(std::back_inserter(out), ",{},{},{}", d.start_time.substr(0, kDateSize), time, std::stoi(time));
}

/// Paths are bytes to the system and may be no UTF-8, which JSON must be: such bytes become U+FFFD.
std::string json_text(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void jsonl_line(std::string& out, const FormatContext&, const DetectionLine& d) {
  fmt::format_to(std::back_inserter(out),
                 R"({{"file":{},"start_s":{},"end_s":{},"label":{},"scientific_name":{},"common_name":{},"confidence":)",
                 json_text(d.recording.path.string()), d.start_s, d.end_s, json_text(d.label.text),
                 json_text(d.label.scientific), json_text(d.label.common));
  append_shortest(out, d.score);
}

void jsonl_times(std::string& out, const DetectionLine& d) {
  const auto value = [](const std::string& time) { return time.empty() ? "null" : '"' + time + '"'; };
  fmt::format_to(std::back_inserter(out), R"(,"start_time":{},"end_time":{})", value(d.start_time), value(d.end_time));
}

constexpr DetectionLayout kLayouts[] = {
    {.name = "csv",
     .file = "detections.csv",
     .per_recording = false,
     .header = "Start (s),End (s),Scientific name,Common name,Confidence,File",
     .append_line = csv_line,
     .time_header = ",Start time,End time",
     .append_times = csv_times},
    {.name = "raven",
     .file = ".selections.txt",
     .per_recording = true,
     .header =
         "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tCommon Name\tSpecies Code\t"
         "Confidence\tBegin Path\tFile Offset (s)",
     .append_line = raven_line,
     .time_header = "\tBegin Date Time",
     .append_times = raven_times},
    {.name = "audacity", .file = ".txt", .per_recording = true, .header = "", .append_line = audacity_line},
    {.name = "kaleidoscope",
     .file = "kaleidoscope.csv",
     .per_recording = false,
     .header = "INDIR,FOLDER,IN FILE,OFFSET,DURATION,TOP1MATCH,TOP1DIST",
     .append_line = kaleidoscope_line,
     .time_header = ",DATE,TIME,HOUR",
     .append_times = kaleidoscope_times},
    {.name = "jsonl",
     .file = "detections.jsonl",
     .per_recording = false,
     .header = "",
     .append_line = jsonl_line,
     .line_end = "}\n",
     .append_times = jsonl_times},
};

}  // namespace

std::span<const DetectionLayout> detection_layouts() { return kLayouts; }

}  // namespace whimbrel
