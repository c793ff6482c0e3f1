#include "plan/workload.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <filesystem>
#include <optional>

#include "whimbrel/core.h"
#include "whimbrel/pipeline.h"

namespace whimbrel {
namespace {

/// More recordings than anyone has; keeps products within 64 bits.
constexpr std::int64_t kMostRecordings = 100'000'000;
constexpr double kLongest_s = 366.0 * 24 * 3600;

/// "200x10min"; nullopt for what is no such word.
std::optional<WorkloadSize> counted(const std::string& word, const WindowGrid& grid) {
  const auto x = word.find('x');
  std::int64_t count = 0;
  const auto parsed = std::from_chars(word.data(), word.data() + word.size(), count);
  if (x == std::string::npos || x == 0 || parsed.ptr != word.data() + x || std::filesystem::exists(word)) return std::nullopt;
  const double seconds = duration_from_string(std::string_view(word).substr(x + 1));
  if (parsed.ec != std::errc() || count < 1 || count > kMostRecordings || seconds > kLongest_s) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("workload \"{}\", expected 1..{} recordings of at most a year, such as 200x10min", word, kMostRecordings));
  }
  const auto samples = static_cast<std::int64_t>(std::llround(seconds * grid.sample_rate_hz));
  return WorkloadSize{count * window_count(grid, samples), static_cast<double>(count) * seconds};
}

double seconds_of(const std::filesystem::path& path) {
  const auto reader = RecordingReader::open(path);
  auto frames = reader->declared_frames().value_or(0);
  if (frames <= 0) {  // the format does not say: decode it
    std::vector<float> block(1 << 16);
    for (auto n = reader->read(block); n > 0; n = reader->read(block)) frames += static_cast<std::int64_t>(n);
  }
  return static_cast<double>(frames) / reader->sample_rate_hz();
}

}  // namespace

WorkloadSize measure_workload(const std::vector<std::string>& words, const WindowGrid& grid) {
  if (words.size() == 1) {
    if (const auto workload = counted(words[0], grid)) return *workload;
  }
  WorkloadSize workload;
  for (const auto& path : recording_paths(words)) {
    try {
      const double seconds = seconds_of(path);
      workload.audio_s += seconds;
      workload.windows += window_count(grid, static_cast<std::int64_t>(std::llround(seconds * grid.sample_rate_hz)));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::bad_recording) throw;
      log(LogLevel::warning, fmt::format("{}; left out of the workload", error.what()));
    }
  }
  if (workload.windows == 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("workload {}: no recording there can be read, expected at least one", words.at(0)));
  }
  return workload;
}

}  // namespace whimbrel
