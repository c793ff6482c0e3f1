// Throughput of each engine over batch and workers: engine_bench [--benchmark_...] MODEL...
//
// items_per_second is windows a second of all workers together; cpu_ms_per_window what a window costs of one core, which holds
// on a busy machine too; open_ms what opening the session took; rows_independent as check_session() found it. The free axes of
// the model, other than the batch, must be fixed in the file.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <mutex>

#include "whimbrel/core.h"
#include "whimbrel/engines.h"

namespace whimbrel {
namespace {

struct Case {
  EngineKind kind;
  std::filesystem::path model;
  SessionOptions options;
};

/// The session that the threads of one case share. main() owns it, since no session may outlive main().
struct Shared {
  std::mutex mutex;
  const Case* current = nullptr;
  std::unique_ptr<Session> session;
  double open_ms = 0;
  bool rows_independent = false;

  /// Opens the case's session unless it is the one at hand.
  Session& prepare(const Case& wanted) {
    const std::lock_guard lock(mutex);
    if (current == &wanted) return *session;
    session.reset();
    const auto start = Clock::now();
    session = open_session(wanted.kind, wanted.model, wanted.options);
    open_ms = 1e3 * seconds_between(start, Clock::now());
    rows_independent = check_session(*session, {}, 0, "bench").rows_independent;
    current = &wanted;
    return *session;
  }
};

void run_case(benchmark::State& state, const Case& wanted, Shared& shared) {
  std::unique_ptr<Runner> runner;
  try {
    runner = shared.prepare(wanted).make_runner();
    std::ranges::copy(probe_input(static_cast<std::int64_t>(runner->input().size())), runner->input().begin());
  } catch (const Error& e) {
    state.SkipWithError(e.what());
  }
  double cpu_s = 0;
  for (auto _ : state) {
    if (state.thread_index() == 0 && cpu_s == 0) cpu_s = -process_cpu_s();
    runner->run();
  }
  state.SetItemsProcessed(state.iterations() * wanted.options.batch);
  if (state.thread_index() != 0) return;
  const auto windows = static_cast<double>(state.iterations() * wanted.options.batch * wanted.options.workers);
  state.counters["cpu_ms_per_window"] = 1e3 * (cpu_s + process_cpu_s()) / windows;
  state.counters["open_ms"] = shared.open_ms;
  state.counters["rows_independent"] = shared.rows_independent ? 1 : 0;
}

void register_cases(const std::filesystem::path& model, Shared& shared) {
  static std::vector<std::unique_ptr<Case>> cases;
  for (const EngineKind kind : all_engines()) {
    if (!engine_reads(kind, model) || !engine_status(kind).available) continue;
    for (const int workers : {1, 2}) {
      for (const std::int64_t batch : {1, 2, 4, 8}) {
        cases.push_back(std::make_unique<Case>(Case{kind, model, {.batch = batch, .workers = workers}}));
        const auto name = fmt::format("{}/{}/batch:{}", to_string(kind), model.stem().string(), batch);
        const Case& registered = *cases.back();
        benchmark::RegisterBenchmark(name.c_str(),
                                     [&registered, &shared](benchmark::State& state) { run_case(state, registered, shared); })
            ->Threads(workers)
            ->UseRealTime()
            ->Unit(benchmark::kMillisecond);
      }
    }
  }
}

}  // namespace
}  // namespace whimbrel

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc < 2) {
    fmt::print(stderr, "usage: engine_bench [--benchmark_...] MODEL...\n");
    return 2;
  }
  whimbrel::Shared shared;
  for (int i = 1; i < argc; ++i) whimbrel::register_cases(argv[i], shared);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
