// One window through the front end, on one thread: by configuration, overlap and SIMD target.
// What a user would run instead is in front_end.py.
#include <benchmark/benchmark.h>
#include <hwy/targets.h>

#include <string>
#include <vector>

#include "whimbrel/features.h"

namespace {

using namespace whimbrel;

constexpr int kRateHz = 32000;
constexpr std::int64_t kWindowSamples = 5 * kRateHz;

/// What most networks are fed: 128 bands in dB over 80 dB, scaled to 0 .. 1.
MelConfig bird_config(int n_fft, int hop_samples) {
  MelConfig config;
  config.n_fft = config.win_length = n_fft;
  config.hop_samples = hop_samples;
  config.f_min_hz = 20;
  config.f_max_hz = 16000;
  config.top_db = 80;
  config.normalize = Normalize::minmax;
  return config;
}

/// Any samples will do: no step depends on their values.
std::vector<float> noise(std::int64_t n) {
  std::vector<float> samples(static_cast<std::size_t>(n));
  std::uint32_t state = 1;
  for (float& x : samples) {
    state = state * 1664525 + 1013904223;
    x = static_cast<float>(state >> 8) * 0x1p-24F - 0.5F;
  }
  return samples;
}

void window(benchmark::State& state, const MelConfig& config, std::int64_t shift_samples, std::int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  MelFrontEnd front_end(config, kRateHz, kWindowSamples, shift_samples);
  const auto samples = noise(kWindowSamples);
  std::vector<float> plane(static_cast<std::size_t>(front_end.bands() * front_end.frames()));
  for (auto _ : state) {
    front_end.compute(samples, plane);
    benchmark::DoNotOptimize(plane.data());
  }
  state.SetLabel(std::string(front_end_simd_target()));
  hwy::SetSupportedTargetsForTest(0);
}

void add(const std::string& name, const MelConfig& config, std::int64_t shift_samples, std::int64_t target = 0) {
  benchmark::RegisterBenchmark(name.c_str(), window, config, shift_samples, target)->Unit(benchmark::kMillisecond);
}

}  // namespace

int main(int argc, char** argv) {
  for (const int hop : {512, 1024}) add("2048/" + std::to_string(hop), bird_config(2048, hop), kWindowSamples);
  add("2048/1000, 4 s overlap", bird_config(2048, 1000), kRateHz);
  add("400/160", bird_config(400, 160), kWindowSamples);
  add("1536/512", bird_config(1536, 512), kWindowSamples);
  add("4096/1024", bird_config(4096, 1024), kWindowSamples);
  const std::int64_t supported = hwy::SupportedTargets() | HWY_SCALAR;
  for (std::int64_t bit = 1; bit > 0 && bit <= HWY_SCALAR; bit <<= 1) {
    if (!(supported & bit)) continue;
    hwy::SetSupportedTargetsForTest(bit);
    const bool built = front_end_simd_target() == hwy::TargetName(bit);
    hwy::SetSupportedTargetsForTest(0);
    if (built) add(std::string("2048/512 on ") + hwy::TargetName(bit), bird_config(2048, 512), kWindowSamples, bit);
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
