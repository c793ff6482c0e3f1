#include "plan/candidates.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>

#include "whimbrel/core.h"

namespace whimbrel {

double Problem::wall_s(const Picks& picks, const std::optional<PassShare>& pass) const {
  double fixed = cost.start_s, window = cost.decode_s;
  std::set<std::size_t> front_ends;
  for (const auto& [index, times] : picks) {
    const auto& candidate = candidates[index];
    fixed += candidate.startup_s;
    window += candidate.cost_s * (pass && index != pass->gate ? pass->share : 1);
    if (front_ends.insert(candidate.front_end).second) window += cost.front_end_s[candidate.front_end];
  }
  return fixed + static_cast<double>(cost.windows) * window * cost.slowdown / cost.workers;
}

std::vector<float> Problem::mean_scores(const Picks& picks) const {
  std::vector<float> mean(validation.truth.size());
  int total = 0;
  for (const auto& [index, times] : picks) {
    total += times;
    const auto& scores = candidates[index].scores;
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += static_cast<float>(times) * scores[i];
  }
  for (auto& value : mean) value /= static_cast<float>(total);
  return mean;
}

std::optional<double> Problem::score(const std::vector<float>& scores) const {
  try {
    return metric_value(metric, scores, validation.truth, validation.classes);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid_argument) throw;
    return std::nullopt;
  }
}

Problem Problem::with_recordings(const std::function<bool(std::size_t)>& wanted) const {
  Problem part{{}, {.classes = validation.classes}, cost, metric, budget_s};
  for (const auto& c : candidates) part.candidates.push_back({c.name, c.model, c.front_end, c.cost_s, c.startup_s, {}});
  const auto append = [&](const auto& from, auto& to, std::size_t row) {
    const auto begin = from.begin() + static_cast<std::ptrdiff_t>(row * validation.classes);
    to.insert(to.end(), begin, begin + static_cast<std::ptrdiff_t>(validation.classes));
  };
  for (std::size_t row = 0; row < validation.rows(); ++row) {
    if (!wanted(validation.recordings[row])) continue;
    part.validation.recordings.push_back(validation.recordings[row]);
    append(validation.truth, part.validation.truth, row);
    for (std::size_t i = 0; i < candidates.size(); ++i) append(candidates[i].scores, part.candidates[i].scores, row);
  }
  return part;
}

Picks reduced(Picks picks) {
  int divisor = 0;
  for (const auto& [index, times] : picks) divisor = std::gcd(divisor, times);
  for (auto& [index, times] : picks) times /= divisor;
  return picks;
}

void in_parallel(std::size_t count, const std::function<void(std::size_t)>& work) {
  static const auto kCores = static_cast<std::size_t>(cpu_info().cores_allowed);  // reads files
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto run = [&] {
    try {
      for (std::size_t i = next++; i < count; i = next++) work(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      next = count;
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 1; t < std::min(count, kCores); ++t) threads.emplace_back(run);
    run();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace whimbrel
