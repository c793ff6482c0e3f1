// Runs the front end on raw samples, for the Python tests and benches: mel_tool [options] IN.f32 OUT.f32
// IN holds float32 samples, OUT gets one [n_mels, frames] float32 plane a window. With --bench N there is no OUT: N passes over
// all windows on one thread are timed, and milliseconds a window of each pass are printed as one JSON list.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <hwy/targets.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>

#include "whimbrel/core.h"
#include "whimbrel/features.h"

namespace {

using namespace whimbrel;

template <class Enum>
CLI::Option* add_words(CLI::App& app, const std::string& name, Enum& value, const std::map<std::string, Enum>& words) {
  return app.add_option(name, value)->transform(CLI::CheckedTransformer(words));
}

void add_mel_options(CLI::App& app, MelConfig& mel) {
  app.add_option("--n-fft", mel.n_fft);
  app.add_option("--win-length", mel.win_length);
  app.add_option("--hop-samples", mel.hop_samples);
  app.add_option("--n-mels", mel.n_mels);
  app.add_option("--f-min-hz", mel.f_min_hz);
  app.add_option("--f-max-hz", mel.f_max_hz);
  app.add_option("--power", mel.power);
  app.add_option("--center", mel.center);
  app.add_option("--amin", mel.amin);
  app.add_option("--top-db", mel.top_db);
  app.add_option("--mean", mel.mean);
  app.add_option("--std", mel.std);
  add_words<MelScale>(app, "--scale", mel.scale, {{"slaney", MelScale::slaney}, {"htk", MelScale::htk}});
  add_words<MelNorm>(app, "--norm", mel.norm, {{"slaney", MelNorm::slaney}, {"none", MelNorm::none}});
  add_words<PadMode>(app, "--pad", mel.pad, {{"reflect", PadMode::reflect}, {"constant", PadMode::constant}});
  add_words<Level>(app, "--level", mel.level, {{"db", Level::db}, {"log", Level::log}, {"none", Level::none}});
  add_words<LevelRef>(app, "--ref", mel.ref, {{"one", LevelRef::one}, {"max", LevelRef::max}});
  add_words<Normalize>(app, "--normalize", mel.normalize,
                       {{"minmax", Normalize::minmax}, {"mean_std", Normalize::mean_std}, {"none", Normalize::none}});
}

std::vector<float> read_samples(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<float> samples(bytes.size() / sizeof(float));
  std::memcpy(samples.data(), bytes.data(), samples.size() * sizeof(float));
  return samples;
}

struct Job {
  MelConfig mel;
  int rate_hz = 32000;
  std::int64_t window_samples = 160000;
  std::int64_t shift_samples = 160000;
  std::string in, out;
  int bench = 0;
};

/// One pass over all windows. Returns how many there were.
std::int64_t run(MelFrontEnd& front_end, const Job& job, std::span<const float> samples, std::vector<float>& plane,
                 std::ostream* out) {
  front_end.restart();
  std::int64_t windows = 0;
  for (std::int64_t start = 0; start + job.window_samples <= std::ssize(samples); start += job.shift_samples, ++windows) {
    front_end.compute(samples.subspan(static_cast<std::size_t>(start), static_cast<std::size_t>(job.window_samples)), plane);
    if (out)
      out->write(reinterpret_cast<const char*>(plane.data()), static_cast<std::streamsize>(plane.size() * sizeof(float)));
  }
  return windows;
}

void run_job(const Job& job) {
  const auto samples = read_samples(job.in);
  MelFrontEnd front_end(job.mel, job.rate_hz, job.window_samples, job.shift_samples);
  std::vector<float> plane(static_cast<std::size_t>(front_end.bands() * front_end.frames()));
  if (job.bench == 0) {
    std::ofstream out(job.out, std::ios::binary);
    run(front_end, job, samples, plane, &out);
    return;
  }
  run(front_end, job, samples, plane, nullptr);
  std::vector<double> window_ms;
  for (int i = 0; i < job.bench; ++i) {
    const auto begin = Clock::now();
    const auto windows = run(front_end, job, samples, plane, nullptr);
    window_ms.push_back(1e3 * seconds_between(begin, Clock::now()) / static_cast<double>(windows));
  }
  fmt::print(R"({{"target": "{}", "window_ms": [{}]}})"
             "\n",
             front_end_simd_target(), fmt::join(window_ms, ", "));
}

}  // namespace

int main(int argc, char** argv) {
  Job job;
  std::string max_target;
  CLI::App app("mel front end on raw float32 samples");
  add_mel_options(app, job.mel);
  app.add_option("--rate", job.rate_hz);
  app.add_option("--window-samples", job.window_samples);
  app.add_option("--shift-samples", job.shift_samples);
  app.add_option("--bench", job.bench);
  app.add_option("--max-target", max_target)->check(CLI::IsMember({"AVX3", "AVX2", "SSE4", "SSSE3"}));
  app.add_option("in", job.in)->required()->check(CLI::ExistingFile);
  app.add_option("out", job.out);
  CLI11_PARSE(app, argc, argv);
  if (!max_target.empty()) {
    // Highway numbers better targets lower.
    std::int64_t better = 0;
    for (std::int64_t bit = 1; bit <= HWY_SCALAR && hwy::TargetName(bit) != max_target; bit <<= 1) better |= bit;
    hwy::DisableTargets(better);
  }
  try {
    run_job(job);
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
  return 0;
}
