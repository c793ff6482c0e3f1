// Windows by recording: where events fall.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pipeline/truth_events.h"

namespace whimbrel {

/// The windows that row ids name, by recording. Refers to no argument after construction.
class TruthWindows {
 public:
  /// @param row_ids   "<stem>_<window end in whole seconds>"
  /// @param window_s  0: the smallest difference between the ends of two windows of one recording
  /// @throws Error{invalid_argument} for a row id of another form, and where no recording has two windows to derive from
  TruthWindows(std::span<const std::string> row_ids, double window_s, const std::string& asker);

  /// The stem that a file name means: itself, or without its extension; "" for none of these recordings.
  std::string_view recording_of(const std::string& file) const;

  /// Rows that the event makes positive; none when its recording is none of these.
  std::vector<std::size_t> rows_of(const TruthEvent& event, double min_overlap_s) const;

 private:
  struct Window {
    double end_s = 0;
    std::size_t row = 0;
  };
  double derive(const std::string& asker) const;

  std::unordered_map<std::string, std::vector<Window>> recordings_;  // by end
  double window_s_ = 0;
};

}  // namespace whimbrel
