// What the workers did when, in a bounded number of buckets.
#pragma once

#include <mutex>

#include "whimbrel/pipeline.h"

namespace whimbrel {

/// Thread-safe.
class Timeline {
 public:
  static constexpr std::size_t kMostBuckets = 256;

  explicit Timeline(Clock::time_point begin) : begin_(begin) { timeline_.bucket_s = 0.1; }

  /// Spreads `times` evenly over [from, to).
  void add(Clock::time_point from, Clock::time_point to, const StageTimes& times);

  StageTimeline take();

 private:
  void double_buckets();
  void add_to(std::size_t bucket, const StageTimes& times, double share);

  const Clock::time_point begin_;
  std::mutex mutex_;
  StageTimeline timeline_;
};

}  // namespace whimbrel
