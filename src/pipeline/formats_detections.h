// Formats that list detections, one line each: they differ in file names, header and line only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "pipeline/formats.h"

namespace whimbrel {

/// A detection as its line is made of it.
struct DetectionLine {
  const RecordingName& recording;
  const Label& label;
  float score;
  std::int64_t number;  // from 1, in its file
  std::string start_s;  // seconds_text()
  std::string end_s;
  std::string duration_s;
  std::string start_time;  // rfc3339(); empty: not asked for or not known
  std::string end_time;
};

struct DetectionLayout {
  std::string_view name;    // of the format
  std::string_view file;    // of the run's one file; or what follows each recording's relative path
  bool per_recording;       // one file a recording, in a mirror of the inputs' folders
  std::string_view header;  // without its line break; empty: none
  void (*append_line)(std::string& out, const FormatContext& context, const DetectionLine& detection);
  std::string_view line_end = "\n";
  // What absolute times add to header and line; null: the format has no place for them.
  std::string_view time_header = "";
  void (*append_times)(std::string& out, const DetectionLine& detection) = nullptr;
};

/// csv, raven, audacity, kaleidoscope, jsonl.
std::span<const DetectionLayout> detection_layouts();

std::unique_ptr<OutputFormat> make_detections(const DetectionLayout& layout, const FormatContext& context);

}  // namespace whimbrel
