// Frame-wise scores to events, slow and obvious: the whole timeline of a recording in memory, one class after the other.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace whimbrel::reference {

struct Event {
  std::int64_t start, end;  // samples
  std::size_t label;
  float confidence;
};

struct EventSetting {
  std::int64_t window_samples, hop_samples;
  std::size_t classes, frames;
  int median_frames;
  float high, low;
};

/// @param windows  [windows][classes * frames]
inline std::vector<Event> events(const std::vector<std::vector<float>>& windows, const EventSetting& s) {
  std::vector<Event> found;
  if (windows.empty()) return found;
  const double step = static_cast<double>(s.window_samples) / static_cast<double>(s.frames);
  const auto first_frame = [&](std::size_t window) {
    return static_cast<std::size_t>(std::floor(static_cast<double>(window) * static_cast<double>(s.hop_samples) / step + 0.5));
  };
  const std::size_t length = first_frame(windows.size() - 1) + s.frames;
  for (std::size_t label = 0; label < s.classes; ++label) {
    std::vector<double> sums(length), counts(length);
    for (std::size_t w = 0; w < windows.size(); ++w) {
      for (std::size_t f = 0; f < s.frames; ++f) {
        sums[first_frame(w) + f] += windows[w][label * s.frames + f];
        counts[first_frame(w) + f] += 1;
      }
    }
    std::vector<float> pooled(length), filtered(length);
    for (std::size_t t = 0; t < length; ++t) pooled[t] = static_cast<float>(sums[t] / counts[t]);
    for (std::size_t t = 0; t < length; ++t) {
      std::vector<float> neighbours;
      for (int d = -(s.median_frames / 2); d <= s.median_frames / 2; ++d) {
        const auto at = std::clamp<std::int64_t>(static_cast<std::int64_t>(t) + d, 0, static_cast<std::int64_t>(length) - 1);
        neighbours.push_back(pooled[static_cast<std::size_t>(at)]);
      }
      std::sort(neighbours.begin(), neighbours.end());
      filtered[t] = neighbours[neighbours.size() / 2];
    }
    for (std::size_t t = 0; t < length; ++t) {
      std::size_t end = t;
      while (end < length && filtered[end] >= s.low) ++end;
      if (end == t) continue;
      const float peak = *std::max_element(filtered.begin() + static_cast<std::ptrdiff_t>(t),
                                           filtered.begin() + static_cast<std::ptrdiff_t>(end));
      const auto edge = [&](std::size_t frame) { return std::llround(static_cast<double>(frame) * step); };
      if (peak >= s.high) found.push_back({edge(t), edge(end), label, peak});
      t = end;
    }
  }
  return found;
}

}  // namespace whimbrel::reference
