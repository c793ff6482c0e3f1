#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "audio/decoder.h"
#include "whimbrel/core.h"

namespace whimbrel {
namespace {

void check_grids(const std::vector<WindowGrid>& grids) {
  const auto refuse = [](const std::string& what) -> Error {
    return Error(ErrorCode::invalid_argument, "window grid: " + what);
  };
  if (grids.empty()) throw refuse("none given, expected at least one");
  const WindowGrid& first = grids.front();
  for (const WindowGrid& grid : grids) {
    if (grid.sample_rate_hz < 1 || grid.window_samples < 1 || grid.hop_samples < 1) {
      throw refuse(fmt::format("sample_rate_hz={}, window_samples={}, hop_samples={}, expected at least 1 each",
                               grid.sample_rate_hz, grid.window_samples, grid.hop_samples));
    }
    if (!(grid.min_signal >= 0 && grid.min_signal <= 1)) {
      throw refuse(fmt::format("min_signal={}, expected 0..1", grid.min_signal));
    }
    // Each length may have been rounded to whole samples of its own rate.
    const double rounding_s = 0.5 / grid.sample_rate_hz + 0.5 / first.sample_rate_hz + 1e-9;
    const auto differs = [&](std::int64_t a, std::int64_t b) {
      return std::abs(static_cast<double>(a) / grid.sample_rate_hz - static_cast<double>(b) / first.sample_rate_hz) >
             rounding_s;
    };
    if (differs(grid.window_samples, first.window_samples) || differs(grid.hop_samples, first.hop_samples)) {
      throw refuse(
          fmt::format("{} samples every {} at {} Hz are not the same seconds as {} every {} at {} Hz; give all models of a "
                      "run the same window_s and hop_s",
                      grid.window_samples, grid.hop_samples, grid.sample_rate_hz, first.window_samples, first.hop_samples,
                      first.sample_rate_hz));
    }
  }
}

/// One grid's resampled signal, of which only what the current window and those after it need is kept.
struct Lane {
  Lane(const WindowGrid& g, int from_hz, double margin_s)
      : grid(g),
        resampler(from_hz, g.sample_rate_hz, g.resampler),
        margin(static_cast<std::int64_t>(std::ceil(margin_s * g.sample_rate_hz - 1e-6))),
        samples(static_cast<std::size_t>(margin)),
        begin(-margin) {}

  /// Forgets what lies before `position`.
  void drop_before(std::int64_t position) {
    const std::int64_t count = std::clamp<std::int64_t>(position - begin, 0, static_cast<std::int64_t>(samples.size()));
    samples.erase(samples.begin(), samples.begin() + count);
    begin += count;
  }

  WindowGrid grid;
  Resampler resampler;
  std::int64_t margin;
  std::vector<float> samples;
  std::int64_t begin;       // position of samples[0] in the signal; below 0: silence before it
  std::int64_t length = 0;  // of the signal that has arrived; padding does not count
};

/// WindowGrid's rule for window `index` of a signal of `length` samples (0 if it is shorter than one sample at this rate).
bool window_exists(const WindowGrid& grid, std::int64_t index, std::int64_t length) {
  if (index == 0) return true;
  const std::int64_t start = index * grid.hop_samples;
  if (start + grid.window_samples <= length) return true;
  const std::int64_t covered = std::max(start, start - grid.hop_samples + grid.window_samples);
  const std::int64_t uncovered = length - covered;
  return uncovered > 0 && static_cast<double>(uncovered) >= grid.min_signal * static_cast<double>(grid.window_samples);
}

}  // namespace

struct WindowStream::Impl {
  std::unique_ptr<RecordingReader> reader;
  std::vector<Lane> lanes;
  std::vector<float> block;
  std::int64_t index = -1;
  std::int64_t decoded_frames = 0;
  bool ended = false;
  std::string error;

  /// Decodes one block into all lanes.
  void pull() {
    std::size_t frames = 0;
    try {
      frames = reader->read(block);
    } catch (const Error& e) {
      if (e.code() != ErrorCode::bad_recording || decoded_frames == 0) throw;
      error = e.what();
    }
    decoded_frames += static_cast<std::int64_t>(frames);
    ended = frames == 0;
    for (Lane& lane : lanes) {
      if (ended) {
        lane.resampler.finish(lane.samples);
      } else {
        lane.resampler.push(std::span(block).first(frames), lane.samples);
      }
      lane.length = lane.begin + static_cast<std::int64_t>(lane.samples.size());
      lane.drop_before(index * lane.grid.hop_samples - lane.margin);
    }
  }

  bool complete() const {
    return std::ranges::all_of(lanes, [&](const Lane& lane) {
      return lane.length >= index * lane.grid.hop_samples + lane.grid.window_samples + lane.margin;
    });
  }
};

std::int64_t window_count(const WindowGrid& grid, std::int64_t samples) {
  if (samples <= 0) return 0;
  std::int64_t count = samples < grid.window_samples ? 1 : (samples - grid.window_samples) / grid.hop_samples + 1;
  if (window_exists(grid, count, samples)) ++count;
  return count;
}

WindowStream::WindowStream(const std::filesystem::path& path, const std::vector<WindowGrid>& grids, double margin_s)
    : WindowStream(RecordingReader::open(path), path.string(), grids, margin_s) {}

WindowStream::WindowStream(std::unique_ptr<RecordingReader> reader, const std::string& name,
                           const std::vector<WindowGrid>& grids, double margin_s)
    : impl_(std::make_unique<Impl>()) {
  check_grids(grids);
  impl_->reader = std::move(reader);
  const int rate = impl_->reader->sample_rate_hz();
  for (const WindowGrid& grid : grids) impl_->lanes.emplace_back(grid, rate, margin_s);
  // At most a second, so that low rates do not become long blocks at high ones.
  impl_->block.resize(std::min<std::size_t>(audio::kBlockFrames, static_cast<std::size_t>(rate)));
  impl_->pull();
  if (impl_->decoded_frames == 0) {
    throw Error(ErrorCode::bad_recording,
                fmt::format("{}: no samples behind the {} header; expected at least one", name, impl_->reader->codec()));
  }
}

WindowStream::~WindowStream() = default;
WindowStream::WindowStream(WindowStream&&) noexcept = default;

bool WindowStream::next() {
  Impl& s = *impl_;
  ++s.index;
  for (Lane& lane : s.lanes) lane.drop_before(s.index * lane.grid.hop_samples - lane.margin);
  while (!s.ended && !s.complete()) s.pull();

  const Lane& first = s.lanes.front();
  if (!window_exists(first.grid, s.index, first.length)) {
    --s.index;
    return false;
  }
  for (Lane& lane : s.lanes) {
    const auto needed = static_cast<std::size_t>(lane.grid.window_samples + 2 * lane.margin);
    if (lane.samples.size() < needed) lane.samples.resize(needed);
  }
  return true;
}

std::int64_t WindowStream::index() const { return impl_->index; }

std::span<const float> WindowStream::window(std::size_t g, std::int64_t shift_samples) const {
  const Lane& lane = impl_->lanes.at(g);
  if (std::abs(shift_samples) > lane.margin) {
    throw Error(ErrorCode::internal,
                fmt::format("a shift of {} samples, expected at most the margin of {}", shift_samples, lane.margin));
  }
  return std::span(lane.samples)
      .subspan(static_cast<std::size_t>(lane.margin + shift_samples), static_cast<std::size_t>(lane.grid.window_samples));
}

const RecordingReader& WindowStream::reader() const { return *impl_->reader; }

double WindowStream::decoded_s() const { return static_cast<double>(impl_->decoded_frames) / impl_->reader->sample_rate_hz(); }

const std::string& WindowStream::error() const { return impl_->error; }

}  // namespace whimbrel
