// Frame-wise scores of overlapping windows -> events with onset and offset.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pipeline/detection.h"
#include "whimbrel/audio.h"

namespace whimbrel {

/// Windows of one recording after the other. What windows say of the same time is pooled by mean on one timeline, whose frames
/// are as long as a window's; the timeline is median-filtered and cut into events by two thresholds (Dinkel et al., "Towards
/// duration robust weakly supervised sound event detection", 2021). Memory: a window's frames and a median's. Not thread-safe.
class EventFinder {
 public:
  struct Rule {
    int median_frames = 1;    // odd; beyond the ends of a recording its first and last frame are repeated
    std::vector<float> high;  // per class: an event has a frame at or above it
    std::vector<float> low;   // and lasts as long as frames are at or above this; infinite: the class has no events
  };

  EventFinder(const WindowGrid& grid, std::int64_t frames_per_window, Rule rule);

  /// Events that are known to be over once window `index` is there, in the order in which they end.
  /// @param scores  [classes, frames] probabilities; windows come in order, none is left out
  void window(std::int64_t index, std::span<const float> scores, const TakeDetection& take);

  /// The recording ends: its last events. The next window begins another one.
  void finish(const TakeDetection& take);

 private:
  struct Event {
    std::int64_t begin = -1;  // frame; -1: none is under way
    float peak = 0;
  };

  void pool(std::int64_t first, std::span<const float> scores);
  void complete(std::int64_t end, const TakeDetection& take);
  void filter(std::span<const float> column, const TakeDetection& take);
  void step(std::size_t label, std::int64_t frame, float score, const TakeDetection& take);
  void close(std::size_t label, std::int64_t frame, const TakeDetection& take);
  std::int64_t edge(std::int64_t frame) const;

  WindowGrid grid_;
  std::int64_t frames_;
  Rule rule_;
  std::size_t classes_;
  std::vector<double> sums_;  // [frames, classes], frame t of the timeline at t % frames
  std::vector<int> counts_;   // [frames]
  std::int64_t next_ = 0;     // frame of the timeline that is not complete yet
  std::int64_t end_ = 0;      // of what windows covered so far
  std::vector<float> column_;
  std::vector<float> recent_;  // [median_frames, classes], what filter() got last
  std::int64_t filtered_ = 0;  // columns that filter() got
  std::vector<float> neighbours_;
  std::vector<Event> events_;
};

}  // namespace whimbrel
