#include "quantize/measure.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>

namespace whimbrel::quantize {
namespace {

constexpr std::size_t kLeastPairs = 15;
constexpr std::size_t kMostPairs = 400;
constexpr std::int64_t kWindows = 8;  // distinct ones that are timed

double percentile(std::vector<double> values, double share) {
  const std::ptrdiff_t at = std::lround(share * static_cast<double>(values.size() - 1));
  std::ranges::nth_element(values, values.begin() + at);
  return values[static_cast<std::size_t>(at)];
}

double timed_ms(Runner& runner) {
  const auto begin = Clock::now();
  runner.run();
  return 1e3 * seconds_between(begin, Clock::now());
}

/// Windows a second of `workers` threads that run one session for `seconds`.
double rate_of(Session& session, const WindowRows& rows, int workers, double seconds) {
  std::atomic<std::int64_t> windows{0};
  std::atomic<bool> stop{false};
  std::vector<std::unique_ptr<Runner>> runners;
  for (int w = 0; w < workers; ++w) {
    runners.push_back(session.make_runner());
    rows.read(w % rows.count, runners.back()->input());
    runners.back()->run();
  }
  const auto begin = Clock::now();
  {
    std::vector<std::jthread> threads;
    for (auto& runner : runners) {
      threads.emplace_back([&] {
        while (!stop.load(std::memory_order_relaxed)) {
          runner->run();
          windows.fetch_add(1, std::memory_order_relaxed);
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    stop = true;
  }
  return static_cast<double>(windows) / seconds_between(begin, Clock::now());
}

}  // namespace

PairedSpeed measure_latency(Session& base, Session& other, const WindowRows& rows, double seconds) {
  const auto a = base.make_runner();
  const auto b = other.make_runner();
  std::vector<double> base_ms, other_ms, ratios;
  const auto begin = Clock::now();
  const auto distinct = std::min(kWindows, rows.count);
  for (std::int64_t i = -2; ratios.size() < kMostPairs; ++i) {  // two pairs to warm up
    if (ratios.size() >= kLeastPairs && seconds_between(begin, Clock::now()) > seconds) break;
    const auto row = (i + distinct) % distinct;
    rows.read(row, a->input());
    rows.read(row, b->input());
    // Which comes first alternates: the second one finds the core's clock and caches as the first one left them.
    const bool base_first = i % 2 == 0;
    const double first = timed_ms(base_first ? *a : *b);
    const double second = timed_ms(base_first ? *b : *a);
    if (i < 0) continue;
    base_ms.push_back(base_first ? first : second);
    other_ms.push_back(base_first ? second : first);
    ratios.push_back(base_ms.back() / other_ms.back());
  }
  PairedSpeed speed;
  speed.base_ms = percentile(base_ms, 0.5);
  speed.other_ms = percentile(other_ms, 0.5);
  speed.ratio = percentile(ratios, 0.5);
  // 95 % confidence interval of the median by order statistics: right for any distribution of the noise.
  const auto n = static_cast<double>(ratios.size());
  const double half_width = 0.98 / std::sqrt(n);
  speed.ratio_low = percentile(ratios, std::max(0.0, 0.5 - half_width));
  speed.ratio_high = percentile(ratios, std::min(1.0, 0.5 + half_width));
  return speed;
}

void measure_throughput(Session& base, Session& other, const WindowRows& rows, int workers, double seconds,
                        PairedSpeed& speed) {
  constexpr int kBlocks = 5;
  std::vector<double> base_per_s, other_per_s, ratios;
  for (int i = 0; i < kBlocks; ++i) {
    base_per_s.push_back(rate_of(base, rows, workers, seconds / (2 * kBlocks)));
    other_per_s.push_back(rate_of(other, rows, workers, seconds / (2 * kBlocks)));
    ratios.push_back(other_per_s.back() / base_per_s.back());
  }
  speed.base_per_s = percentile(base_per_s, 0.5);
  speed.other_per_s = percentile(other_per_s, 0.5);
  speed.throughput_ratio = percentile(ratios, 0.5);
}

}  // namespace whimbrel::quantize
