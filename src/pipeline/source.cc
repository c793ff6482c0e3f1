#include "pipeline/source.h"

namespace whimbrel {

RecordingSource::RecordingSource(const Ensemble& ensemble, std::size_t recording, const std::filesystem::path& path)
    : ensemble_(ensemble), recording_(recording), stream_(path, ensemble.grids) {
  for (const auto& spec : ensemble.front_ends) {
    const auto& grid = ensemble.grids[spec.grid];
    mels_.push_back(spec.kind == InputKind::mel
                        ? std::make_unique<MelFrontEnd>(spec.mel, grid.sample_rate_hz, grid.window_samples, grid.hop_samples)
                        : nullptr);
  }
}

std::vector<WindowPtr> RecordingSource::read(std::size_t count, StageTimes& times) {
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
    for (std::size_t f = 0; f < mels_.size(); ++f) {
      const auto samples = stream_.window(ensemble_.front_ends[f].grid);
      if (mels_[f]) {
        auto& plane = window->features.emplace_back(static_cast<std::size_t>(mels_[f]->bands() * mels_[f]->frames()));
        mels_[f]->compute(samples, plane);
      } else {
        window->features.emplace_back(samples.begin(), samples.end());
      }
    }
    times.front_end_s += seconds_between(decoded, Clock::now());
    windows.push_back(std::move(window));
  }
  return windows;
}

}  // namespace whimbrel
