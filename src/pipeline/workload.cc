#include "pipeline/workload.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <optional>
#include <thread>

#include "pipeline/desk.h"
#include "whimbrel/audio.h"
#include "whimbrel/core.h"

namespace whimbrel {
namespace {

/// Silence in the best of codecs; a header that claims more lies.
constexpr double kMostFramesPerByte = 4096;
/// 64 kbit/s at 5 s a window, where no recording tells more.
constexpr double kDefaultWindowsPerByte = 1.0 / 40000;

constexpr std::int64_t kUnknown = -1;

double bytes_of(const RecordingName& recording) {
  std::error_code failed;
  const auto bytes = std::filesystem::file_size(recording.path, failed);
  return failed ? 0 : static_cast<double>(bytes);
}

std::int64_t windows_of(const Samples& samples, const WindowGrid& grid) {
  const double length = static_cast<double>(samples.mono.size()) * grid.sample_rate_hz / std::max(1, samples.sample_rate_hz);
  return window_count(grid, std::llround(length));
}

std::int64_t windows_by_header(const RecordingName& recording, const WindowGrid& grid) {
  if (recording.samples) return windows_of(*recording.samples, grid);
  try {
    const auto reader = RecordingReader::open(recording.path);
    const auto frames = reader->declared_frames();
    if (!frames || static_cast<double>(*frames) > kMostFramesPerByte * bytes_of(recording)) return kUnknown;
    const double samples = static_cast<double>(*frames) * grid.sample_rate_hz / reader->sample_rate_hz();
    return window_count(grid, std::max<std::int64_t>(1, std::llround(samples)));
  } catch (const Error&) {
    return 0;  // the run says what is wrong with it
  }
}

/// Numbers below `count` in an order that is spread over all of them at any time.
std::vector<std::size_t> spread(std::size_t count) {
  std::vector<std::size_t> order;
  const auto stride = static_cast<std::size_t>(std::sqrt(static_cast<double>(count))) + 1;
  for (std::size_t from = 0; from < stride; ++from) {
    for (std::size_t i = from; i < count; i += stride) order.push_back(i);
  }
  return order;
}

/// What the threads share that look into headers; it outlives one that never comes back from a disk that is gone.
struct Looking {
  std::vector<RecordingName> recordings;
  WindowGrid grid;
  Clock::time_point end;
  std::vector<std::size_t> order;
  std::vector<std::atomic<std::int64_t>> windows;
  std::atomic<std::size_t> next{0};
  std::atomic<int> at_work{0};

  void look() {
    for (auto i = next++; i < order.size() && Clock::now() < end; i = next++) {
      windows[order[i]] = windows_by_header(recordings[order[i]], grid);
    }
    --at_work;
  }
};

constexpr auto kLookEvery = std::chrono::milliseconds(1);
constexpr double kPatience = 2;  // times the time there is: a header takes its time too

/// Windows of each recording, kUnknown for those not come to within most_s.
std::vector<std::int64_t> look_into_headers(std::span<const RecordingName> recordings, const WindowGrid& grid, int workers,
                                            double most_s) {
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(most_s));
  auto looking = std::make_shared<Looking>();
  looking->recordings.assign(recordings.begin(), recordings.end());
  looking->grid = grid;
  looking->end = end;
  looking->order = spread(recordings.size());
  looking->windows = std::vector<std::atomic<std::int64_t>>(recordings.size());
  for (auto& windows : looking->windows) windows = kUnknown;
  looking->at_work = workers;
  for (int w = 0; w < workers; ++w) std::thread([looking] { looking->look(); }).detach();
  while (looking->at_work > 0 && seconds_between(begin, Clock::now()) < kPatience * most_s)
    std::this_thread::sleep_for(kLookEvery);
  if (looking->at_work > 0) leave_thread_behind();
  return {looking->windows.begin(), looking->windows.end()};
}

}  // namespace

Workload estimate_workload(std::span<const RecordingName> recordings, const WindowGrid& grid, int workers, double most_s) {
  Workload workload;
  workload.windows = look_into_headers(recordings, grid, workers, most_s);
  double windows = 0;
  double bytes = 0;
  for (std::size_t i = 0; i < recordings.size(); ++i) {
    if (workload.windows[i] <= 0) continue;
    windows += static_cast<double>(workload.windows[i]);
    bytes += bytes_of(recordings[i]);
  }
  const double per_byte = bytes > 0 ? windows / bytes : kDefaultWindowsPerByte;
  for (std::size_t i = 0; i < recordings.size(); ++i) {
    if (workload.windows[i] == kUnknown) {
      workload.windows[i] = std::max<std::int64_t>(1, std::llround(bytes_of(recordings[i]) * per_byte));
      ++workload.guessed;
    }
    workload.total += workload.windows[i];
  }
  return workload;
}

}  // namespace whimbrel
