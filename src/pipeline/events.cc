#include "pipeline/events.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "pipeline/formats_text.h"

namespace whimbrel {
namespace {

std::int64_t divided(std::int64_t number, std::int64_t by) { return (2 * number + by) / (2 * by); }  // to the nearest

}  // namespace

EventFinder::EventFinder(const WindowGrid& grid, std::int64_t frames_per_window, Rule rule)
    : grid_(grid),
      frames_(frames_per_window),
      rule_(std::move(rule)),
      classes_(rule_.high.size()),
      sums_(static_cast<std::size_t>(frames_) * classes_),
      counts_(static_cast<std::size_t>(frames_)),
      column_(classes_),
      recent_(static_cast<std::size_t>(rule_.median_frames) * classes_),
      neighbours_(static_cast<std::size_t>(rule_.median_frames)),
      events_(classes_) {}

void EventFinder::window(std::int64_t index, std::span<const float> scores, const TakeDetection& take) {
  check_scores(scores, sums_.size());
  const std::int64_t first = divided(index * grid_.hop_samples * frames_, grid_.window_samples);
  if (first > end_) {
    throw Error(ErrorCode::internal,
                fmt::format("frames of window {} came next, expected those before it; report this as a bug", index));
  }
  complete(first, take);
  pool(first, scores);
}

void EventFinder::finish(const TakeDetection& take) {
  complete(end_, take);
  if (filtered_ > 0) {
    const int half = rule_.median_frames / 2;
    for (int i = 0; i < half; ++i) filter(column_, take);
    for (std::size_t label = 0; label < classes_; ++label) close(label, end_, take);
  }
  next_ = end_ = filtered_ = 0;
}

void EventFinder::pool(std::int64_t first, std::span<const float> scores) {
  for (std::int64_t f = 0; f < frames_; ++f) {
    const auto slot = static_cast<std::size_t>((first + f) % frames_);
    ++counts_[slot];
    for (std::size_t label = 0; label < classes_; ++label) {
      sums_[slot * classes_ + label] += scores[label * static_cast<std::size_t>(frames_) + static_cast<std::size_t>(f)];
    }
  }
  end_ = first + frames_;
}

/// Frames before `end` get nothing more.
void EventFinder::complete(std::int64_t end, const TakeDetection& take) {
  for (; next_ < end; ++next_) {
    const auto slot = static_cast<std::size_t>(next_ % frames_);
    const auto begin = sums_.begin() + static_cast<std::ptrdiff_t>(slot * classes_);
    const double count = std::exchange(counts_[slot], 0);
    std::transform(begin, begin + static_cast<std::ptrdiff_t>(classes_), column_.begin(),
                   [&](double sum) { return static_cast<float>(sum / count); });
    std::fill_n(begin, classes_, 0.0);
    const int copies = next_ == 0 ? rule_.median_frames / 2 + 1 : 1;
    for (int i = 0; i < copies; ++i) filter(column_, take);
  }
}

void EventFinder::filter(std::span<const float> column, const TakeDetection& take) {
  const auto length = static_cast<std::int64_t>(rule_.median_frames);
  std::copy(column.begin(), column.end(),
            recent_.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(filtered_ % length) * classes_));
  ++filtered_;
  if (filtered_ < length) return;
  const std::int64_t frame = filtered_ - length;
  for (std::size_t label = 0; label < classes_; ++label) {
    if (std::isinf(rule_.low[label])) continue;
    for (std::size_t i = 0; i < neighbours_.size(); ++i) neighbours_[i] = recent_[i * classes_ + label];
    const auto middle = neighbours_.begin() + static_cast<std::ptrdiff_t>(length / 2);
    std::nth_element(neighbours_.begin(), middle, neighbours_.end());
    step(label, frame, *middle, take);
  }
}

void EventFinder::step(std::size_t label, std::int64_t frame, float score, const TakeDetection& take) {
  auto& event = events_[label];
  if (score < rule_.low[label]) {
    close(label, frame, take);
  } else if (event.begin < 0) {
    event = {frame, score};
  } else {
    event.peak = std::max(event.peak, score);
  }
}

/// `frame` is the first one that does not belong to it.
void EventFinder::close(std::size_t label, std::int64_t frame, const TakeDetection& take) {
  const auto event = std::exchange(events_[label], {});
  if (event.begin < 0 || event.peak < rule_.high[label]) return;
  take({edge(event.begin), edge(frame), static_cast<std::uint32_t>(label), event.peak});
}

/// Sample at which a frame begins.
std::int64_t EventFinder::edge(std::int64_t frame) const { return divided(frame * grid_.window_samples, frames_); }

}  // namespace whimbrel
