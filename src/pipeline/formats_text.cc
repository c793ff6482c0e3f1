#include "pipeline/formats_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "whimbrel/io.h"

namespace whimbrel {

std::string seconds_text(std::int64_t samples, int sample_rate_hz) {
  constexpr std::int64_t kMicros = 1'000'000;
  std::int64_t whole = samples / sample_rate_hz;
  std::int64_t micros = ((samples % sample_rate_hz) * kMicros + sample_rate_hz / 2) / sample_rate_hz;
  if (micros == kMicros) {
    ++whole;
    micros = 0;
  }
  std::string text = fmt::format("{}.{:06}", whole, micros);
  const std::size_t shortest = text.size() - 5;  // one decimal stays
  while (text.size() > shortest && text.back() == '0') text.pop_back();
  return text;
}

std::string absolute_time_text(const RecordingName& recording, std::int64_t samples, int sample_rate_hz) {
  return recording.began ? rfc3339(moment_in(*recording.began, samples, sample_rate_hz)) : "";
}

void warn_of_unknown_times(std::span<const RecordingResult> recordings) {
  const auto is_written = [](const auto& r) { return r.state == RecordingState::done || r.state == RecordingState::partial; };
  const auto is_unknown = [&](const auto& r) { return is_written(r) && !r.began; };
  const auto unknown = std::ranges::count_if(recordings, is_unknown);
  if (unknown == 0) return;
  log(LogLevel::warning, fmt::format("{} of {} recordings have no start time in header or name, such as {}; their absolute "
                                     "times are empty: name files like SITE_20230501_050000.wav",
                                     unknown, std::ranges::count_if(recordings, is_written),
                                     std::ranges::find_if(recordings, is_unknown)->path.string()));
}

void append_shortest(std::string& out, float value) {
  char text[32];  // the longest float32 is 15 characters: "-1.17549435e-38"
  const auto result = std::to_chars(text, text + sizeof text, value);
  out.append(text, result.ptr);
}

std::string flat_text(std::string_view text) {
  std::string flat(text);
  for (char& c : flat) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return flat;
}

void check_scores(std::span<const float> scores, std::size_t classes) {
  if (scores.size() != classes) {
    throw Error(ErrorCode::internal, fmt::format("output row has {} scores, expected {}, one a label; report this as a bug",
                                                 scores.size(), classes));
  }
  const auto bad = std::find_if_not(scores.begin(), scores.end(), [](float score) { return std::isfinite(score); });
  if (bad != scores.end()) {
    throw Error(ErrorCode::internal, fmt::format("output row has {} for class {}, expected finite scores; report this as a bug",
                                                 *bad, bad - scores.begin()));
  }
}

namespace {

/// `name` + `suffix`, of a name that is too long for that its beginning and its hash.
std::string output_name(const std::string& name, std::string_view suffix) {
  constexpr std::size_t kLongest = 255 - std::string_view(".tmp").size();  // of Linux' file systems, until it is complete
  if (name.size() + suffix.size() <= kLongest) return name + std::string(suffix);
  const std::string hash = "~" + text_hash(name);
  std::size_t kept = kLongest - suffix.size() - hash.size();
  while (kept > 0 && (static_cast<unsigned char>(name[kept]) & 0xc0) == 0x80) --kept;  // not inside a character
  return name.substr(0, kept) + hash + std::string(suffix);
}

}  // namespace

std::filesystem::path mirrored_path(const std::filesystem::path& out_dir, const RecordingName& recording,
                                    std::string_view suffix) {
  const auto& relative = recording.relative;
  const bool leaves =
      relative.is_absolute() || !relative.has_filename() || std::find(relative.begin(), relative.end(), "..") != relative.end();
  if (leaves) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("{}: its output would be named after \"{}\", expected a file name below the output folder {}; give the "
                    "recording's folder as the input",
                    recording.path.string(), relative.string(), out_dir.string()));
  }
  return out_dir / relative.parent_path() / output_name(relative.filename().string(), suffix);
}

void check_inside(const std::filesystem::path& out_dir, const RecordingName& recording) {
  const auto folder = recording.relative.parent_path();
  if (folder.empty() || path_inside(out_dir, folder.string())) return;
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format("{}: its output would be written through a link to a place outside {}, expected a folder there; remove "
                  "the link or choose another --out",
                  recording.path.string(), out_dir.string()));
}

void warn_of_formulas(std::span<const std::string> formats, std::span<const Label> labels,
                      std::span<const RecordingName> recordings) {
  const auto opens_in_spreadsheets = [](const std::string& format) { return format != "jsonl"; };
  if (std::ranges::none_of(formats, opens_in_spreadsheets)) return;
  std::string first;
  const auto look_at = [&](const std::string& text) {
    if (first.empty() && looks_like_formula(text)) first = text;
  };
  for (const auto& label : labels) {
    for (const auto* text : {&label.text, &label.scientific, &label.common}) look_at(*text);
  }
  for (const auto& recording : recordings) {
    for (const auto& path : {recording.path, recording.relative, recording.relative.filename()}) look_at(path.string());
  }
  if (first.empty()) return;
  log(LogLevel::warning, fmt::format("\"{}\" would be a formula to a spreadsheet; outputs hold it as it is, so import their "
                                     "columns as text (docs/security.md)",
                                     first));
}

}  // namespace whimbrel
