// Decoding, resampling and windowing on one core: seconds of sound per second ("x_realtime").
// The recordings are those of WHIMBREL_SHARED (data/recordings); without them only resampling is measured.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "whimbrel/audio.h"
#include "whimbrel/core.h"

namespace {

namespace fs = std::filesystem;
using whimbrel::RecordingReader;

void report(benchmark::State& state, double recording_s) {
  state.counters["x_realtime"] =
      benchmark::Counter(recording_s * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

void decode(benchmark::State& state, const fs::path& path) {
  std::vector<float> block(32768);
  double recording_s = 0;
  for (auto _ : state) {
    const std::unique_ptr<RecordingReader> reader = RecordingReader::open(path);
    std::size_t frames = 0;
    while (const std::size_t count = reader->read(block)) frames += count;
    recording_s = static_cast<double>(frames) / reader->sample_rate_hz();
  }
  report(state, recording_s);
}

void window(benchmark::State& state, const fs::path& path) {
  double recording_s = 0;
  for (auto _ : state) {
    whimbrel::WindowStream windows(path, {{32000, 160000, 160000}});
    while (windows.next()) benchmark::DoNotOptimize(windows.window(0).data());
    recording_s = windows.decoded_s();
  }
  report(state, recording_s);
}

void resample(benchmark::State& state) {
  const auto from = static_cast<int>(state.range(0));
  const auto to = static_cast<int>(state.range(1));
  std::vector<float> block(32768);
  for (std::size_t i = 0; i < block.size(); ++i) block[i] = static_cast<float>(i * 7919 % 1000) / 1000.0f - 0.5f;
  const int blocks = 60 * from / static_cast<int>(block.size());
  std::vector<float> out;
  for (auto _ : state) {
    whimbrel::Resampler resampler(from, to);
    for (int b = 0; b < blocks; ++b) {
      out.clear();
      resampler.push(block, out);
    }
    benchmark::DoNotOptimize(out.data());
  }
  report(state, static_cast<double>(blocks) * static_cast<double>(block.size()) / from);
}

BENCHMARK(resample)->Args({48000, 32000})->Args({44100, 32000})->Args({32000, 48000})->Unit(benchmark::kMillisecond);

}  // namespace

int main(int argc, char** argv) {
  const char* shared = std::getenv("WHIMBREL_SHARED");
  if (shared != nullptr) {
    std::vector<fs::path> recordings;
    for (const auto& entry : fs::directory_iterator(fs::path(shared) / "data" / "recordings"))
      recordings.push_back(entry.path());
    std::ranges::sort(recordings);
    for (const fs::path& path : recordings) {
      const std::string name = path.filename().string();
      benchmark::RegisterBenchmark(("decode/" + name).c_str(), decode, path)->Unit(benchmark::kMillisecond);
      benchmark::RegisterBenchmark(("window/" + name).c_str(), window, path)->Unit(benchmark::kMillisecond);
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
