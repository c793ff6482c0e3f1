#include "pipeline/timeline.h"

#include <algorithm>
#include <array>
#include <utility>

namespace whimbrel {
namespace {

std::array<std::vector<double>*, 4> lines_of(StageTimeline& timeline) {
  return {&timeline.decode_s, &timeline.front_end_s, &timeline.infer_s, &timeline.write_s};
}

}  // namespace

void Timeline::add(Clock::time_point from, Clock::time_point to, const StageTimes& times) {
  const double begin_s = std::max(0.0, seconds_between(begin_, from)), end_s = std::max(begin_s, seconds_between(begin_, to));
  const std::lock_guard lock(mutex_);
  while (end_s >= timeline_.bucket_s * kMostBuckets) double_buckets();
  const double bucket_s = timeline_.bucket_s;
  const auto first = static_cast<std::size_t>(begin_s / bucket_s), last = static_cast<std::size_t>(end_s / bucket_s);
  for (auto bucket = first; bucket <= last; ++bucket) {
    const double inside_s =
        std::min(end_s, static_cast<double>(bucket + 1) * bucket_s) - std::max(begin_s, static_cast<double>(bucket) * bucket_s);
    add_to(bucket, times, first == last ? 1 : inside_s / (end_s - begin_s));
  }
}

void Timeline::add_to(std::size_t bucket, const StageTimes& times, double share) {
  const std::array seconds = {times.decode_s, times.front_end_s, times.infer_s, times.write_s};
  const auto lines = lines_of(timeline_);
  for (std::size_t line = 0; line < lines.size(); ++line) {
    if (lines[line]->size() <= bucket) lines[line]->resize(bucket + 1);
    (*lines[line])[bucket] += share * seconds[line];
  }
}

void Timeline::double_buckets() {
  timeline_.bucket_s *= 2;
  for (auto* line : lines_of(timeline_)) {
    const std::size_t size = line->size();
    for (std::size_t i = 0; i < (size + 1) / 2; ++i) (*line)[i] = (*line)[2 * i] + (2 * i + 1 < size ? (*line)[2 * i + 1] : 0);
    line->resize((size + 1) / 2);
  }
}

StageTimeline Timeline::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(timeline_, {.bucket_s = timeline_.bucket_s});
}

}  // namespace whimbrel
