#include "pipeline/truth_windows.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "whimbrel/core.h"

namespace whimbrel {
namespace {

/// Times are decimals of milliseconds or so: an overlap of 0.05 must not fail for being 0.04999999999999982.
constexpr double kRounding = 1e-6;

}  // namespace

TruthWindows::TruthWindows(std::span<const std::string> row_ids, double window_s, const std::string& asker) {
  for (std::size_t row = 0; row < row_ids.size(); ++row) {
    const std::string& id = row_ids[row];
    const auto underscore = id.rfind('_');
    std::int64_t end_s = -1;
    if (underscore != std::string::npos) {
      const char* const last = id.data() + id.size();
      const auto result = std::from_chars(id.data() + underscore + 1, last, end_s);
      if (result.ec != std::errc() || result.ptr != last) end_s = -1;
    }
    if (end_s < 0) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("row \"{}\" of {} names no window, expected <recording>_<window end in whole seconds> where the "
                              "truth gives times",
                              id, asker));
    }
    recordings_[id.substr(0, underscore)].push_back({static_cast<double>(end_s), row});
  }
  for (auto& [stem, windows] : recordings_) {
    std::sort(windows.begin(), windows.end(), [](const Window& a, const Window& b) { return a.end_s < b.end_s; });
  }
  window_s_ = window_s > 0 ? window_s : derive(asker);
}

double TruthWindows::derive(const std::string& asker) const {
  double least = std::numeric_limits<double>::infinity();
  for (const auto& [stem, windows] : recordings_) {
    for (std::size_t i = 1; i < windows.size(); ++i) {
      const double step = windows[i].end_s - windows[i - 1].end_s;
      if (step > 0) least = std::min(least, step);
    }
  }
  if (std::isfinite(least)) return least;
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format("{}: no recording has two windows, so that row ids do not tell how long one is; give --window S", asker));
}

std::string_view TruthWindows::recording_of(const std::string& file) const {
  auto found = recordings_.find(file);
  // Raven tables of whimbrel are named after the whole file, others after its stem; both may hold dots.
  if (found == recordings_.end()) found = recordings_.find(std::filesystem::path(file).stem().string());
  return found == recordings_.end() ? std::string_view() : found->first;
}

std::vector<std::size_t> TruthWindows::rows_of(const TruthEvent& event, double min_overlap_s) const {
  std::vector<std::size_t> rows;
  const auto recording = recordings_.find(std::string(recording_of(event.recording)));
  if (recording == recordings_.end()) return rows;
  const auto& windows = recording->second;
  const double needed = std::min(min_overlap_s, (event.end_s - event.start_s) / 2);
  auto window = std::upper_bound(windows.begin(), windows.end(), event.start_s,
                                 [](double start_s, const Window& w) { return start_s < w.end_s; });
  for (; window != windows.end(); ++window) {
    const double begin_s = window->end_s - window_s_;
    if (begin_s > event.start_s && begin_s >= event.end_s) break;
    const double overlap_s = std::min(event.end_s, window->end_s) - std::max(event.start_s, begin_s);
    if (overlap_s >= needed - kRounding) rows.push_back(window->row);
  }
  return rows;
}

}  // namespace whimbrel
