// What several output formats share: times and names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "pipeline/formats.h"

namespace whimbrel {

/// @throws Error{invalid_argument} where the folder that a recording's output goes to is reached by a link out of out_dir
void check_inside(const std::filesystem::path& out_dir, const RecordingName& recording);

/// One warning where a spreadsheet would take a label or a file name for a formula: files hold them as they are.
void warn_of_formulas(std::span<const std::string> formats, std::span<const Label> labels,
                      std::span<const RecordingName> recordings);

/// samples / sample_rate_hz in decimal, rounded to the nearest microsecond, without needless zeros but with at least one
/// decimal: "3.0", "4.5", "0.333333". Integer arithmetic: a position never carries the rounding of the windows before it.
std::string seconds_text(std::int64_t samples, int sample_rate_hz);

/// When that was, as rfc3339(), or "" where the recording does not say when it began.
std::string absolute_time_text(const RecordingName& recording, std::int64_t samples, int sample_rate_hz);

/// Logs how many of the recordings with results do not say when they began; for output with absolute times.
void warn_of_unknown_times(std::span<const RecordingResult> recordings);

/// Appends the shortest decimal that reads back as the same float: "0.5", "1e-05", "1".
void append_shortest(std::string& out, float value);

/// Control characters (tab, line breaks, ...) replaced by spaces, for formats that have no way to quote them.
std::string flat_text(std::string_view text);

/// @throws Error{internal} unless there are `classes` scores, all finite
void check_scores(std::span<const float> scores, std::size_t classes);

/// out_dir / (relative + suffix): one output beside each recording's place in the tree of the inputs.
/// @throws Error{invalid_argument} where that would lie outside out_dir
std::filesystem::path mirrored_path(const std::filesystem::path& out_dir, const RecordingName& recording,
                                    std::string_view suffix);

}  // namespace whimbrel
