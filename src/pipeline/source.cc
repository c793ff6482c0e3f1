#include "pipeline/source.h"

#include <algorithm>
#include <cmath>

namespace whimbrel {

namespace {

/// How far windows are shifted at most.
double margin_s(const Ensemble& ensemble) {
  double most_s = 0;
  for (const auto& member : ensemble.members) most_s = std::max(most_s, std::abs(member.shift_s));
  return most_s;
}

std::unique_ptr<RecordingReader> open_reader(const RecordingName& name) {
  if (!name.samples) return RecordingReader::open(name.path);
  return RecordingReader::of_samples(name.samples->name, name.samples->mono, name.samples->sample_rate_hz);
}

}  // namespace

RecordingSource::RecordingSource(const Ensemble& ensemble, std::size_t recording, const RecordingName& name)
    : ensemble_(ensemble),
      recording_(recording),
      stream_(open_reader(name), name.path.string(), ensemble.grids, margin_s(ensemble)) {
  for (const auto& spec : ensemble.front_ends) {
    const auto& grid = ensemble.grids[spec.grid];
    mels_.push_back(spec.kind == InputKind::mel
                        ? std::make_unique<MelFrontEnd>(spec.mel, grid.sample_rate_hz, grid.window_samples, grid.hop_samples)
                        : nullptr);
  }
}

std::vector<bool> RecordingSource::front_ends_for(const MemberSet* members) const {
  std::vector<bool> needed(ensemble_.front_ends.size(), members == nullptr);
  for (std::size_t m = 0; m < ensemble_.members.size() && members != nullptr; ++m) {
    if ((*members)[m]) needed[ensemble_.members[m].front_end] = true;
  }
  return needed;
}

std::vector<WindowPtr> RecordingSource::read(std::size_t count, const std::shared_ptr<const MemberSet>& members,
                                             StageTimes& times) {
  const auto needed = front_ends_for(members.get());
  std::vector<WindowPtr> windows;
  windows.reserve(count);
  while (windows.size() < count) {
    const auto begin = Clock::now();
    const bool more = stream_.next();
    const auto decoded = Clock::now();
    times.decode_s += seconds_between(begin, decoded);
    if (!more) break;
    auto window = std::make_shared<Window>();
    window->recording = recording_;
    window->index = stream_.index();
    window->members = members;
    window->features.resize(mels_.size());
    for (std::size_t f = 0; f < mels_.size(); ++f) {
      if (!needed[f]) continue;
      const auto& spec = ensemble_.front_ends[f];
      const auto samples = stream_.window(spec.grid, spec.shift_samples);
      auto& feature = window->features[f];
      if (mels_[f]) {
        feature.resize(static_cast<std::size_t>(mels_[f]->bands() * mels_[f]->frames()));
        mels_[f]->compute(samples, feature);
      } else {
        feature.assign(samples.begin(), samples.end());
      }
    }
    times.front_end_s += seconds_between(decoded, Clock::now());
    windows.push_back(std::move(window));
  }
  return windows;
}

}  // namespace whimbrel
