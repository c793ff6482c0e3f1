// What `predict` could reach at best: the engine alone in a bare loop, plus the CPU time of decode and front end.
// usage: ceiling_bench MODEL ENGINE BATCH WORKERS SECONDS RECORDING...   Prints one JSON object.
#include <fmt/format.h>

#include <atomic>
#include <cstdlib>
#include <span>
#include <thread>
#include <vector>

#include "pipeline/ensemble.h"
#include "pipeline/source.h"

namespace {

using namespace whimbrel;

/// Windows a second of `workers` threads that do nothing but run the session.
double bare_loop(Session& session, int batch, int workers, double seconds) {
  std::atomic<std::int64_t> windows{0};
  std::atomic<bool> stop{false};
  const auto begin = Clock::now();
  {
    std::vector<std::jthread> threads;
    for (int w = 0; w < workers; ++w) {
      threads.emplace_back([&] {
        const auto runner = session.make_runner();
        const auto noise = probe_input(static_cast<std::int64_t>(runner->input().size()));
        std::copy(noise.begin(), noise.end(), runner->input().begin());
        while (!stop) {
          runner->run();
          windows += batch;
        }
      });
    }
    while (seconds_between(begin, Clock::now()) < seconds) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    stop = true;
  }
  return static_cast<double>(windows) / seconds_between(begin, Clock::now());
}

struct Reading {
  std::int64_t windows = 0;
  double cpu_s = 0;
};

/// Decode, resampling and front end of every recording on this thread.
Reading read_all(const Ensemble& ensemble, std::span<char*> recordings) {
  Reading reading;
  const double begin = thread_cpu_s();
  for (const char* path : recordings) {
    RecordingSource source(ensemble, 0, {path, path});
    StageTimes times;
    while (const auto n = source.read(16, nullptr, times).size()) reading.windows += static_cast<std::int64_t>(n);
  }
  reading.cpu_s = thread_cpu_s() - begin;
  return reading;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) {
    fmt::print(stderr, "usage: ceiling_bench MODEL ENGINE BATCH WORKERS SECONDS RECORDING...\n");
    return 2;
  }
  PredictOptions options;
  options.engine = argv[2];
  options.batch = std::atoi(argv[3]);
  const int workers = std::atoi(argv[4]);
  auto ensemble = load_ensemble({argv[1]}, 0);
  open_sessions(ensemble, options, workers);
  const auto& member = ensemble.members[0];
  const double bare = bare_loop(*member.session, member.batch, workers, std::atof(argv[5]));
  const auto reading = read_all(ensemble, std::span(argv + 6, argv + argc));
  const double seconds = static_cast<double>(reading.windows) / bare + reading.cpu_s / workers;
  fmt::print(
      R"({{"engine": "{}", "batch": {}, "workers": {}, "bare_windows_per_s": {:.2f}, "read_cpu_s": {:.3f}, "windows": {}, )"
      R"("ceiling_windows_per_s": {:.2f}}})"
      "\n",
      to_string(member.engine), member.batch, workers, bare, reading.cpu_s, reading.windows,
      static_cast<double>(reading.windows) / seconds);
  return 0;
}
