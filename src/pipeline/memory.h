// --max-memory: how many workers fit, and what is done where memory grows all the same.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "pipeline/ensemble.h"

namespace whimbrel {

/// @param when  "after opening b0.onnx"
/// @throws Error{invalid_argument} where the process holds more than `limit_bytes` now
void check_memory(std::int64_t limit_bytes, const std::string& when);

/// As many of `workers` as are expected to fit: runs the members on their probe input to learn what a worker adds.
/// @throws Error{invalid_argument} where not even one fits
int workers_that_fit(const Ensemble& ensemble, std::int64_t limit_bytes, int workers);

/// Watches a run: sends workers away while the process holds more than the limit, and stops the run where one alone is still
/// too many for some seconds. Thread-safe.
class MemoryGuard {
 public:
  enum class Verdict { go_on, leave, stop };

  MemoryGuard(std::int64_t limit_bytes, int workers, std::function<std::int64_t()> resident = resident_bytes)
      : limit_bytes_(limit_bytes), workers_(workers), resident_(std::move(resident)) {}

  /// Asked by a worker between two tasks; looks a few times a second at most. On `leave` this worker must end.
  Verdict look(Clock::time_point now);

  /// Workers that have not been sent away.
  int workers() const;
  /// Why the run was stopped; empty: it was not.
  std::string reason() const;

 private:
  const std::int64_t limit_bytes_;
  mutable std::mutex mutex_;  // guards all below
  int workers_;
  std::function<std::int64_t()> resident_;
  Clock::time_point next_look_{};
  std::optional<Clock::time_point> above_since_;  // with one worker
  bool has_warned_ = false;
  std::string reason_;
};

}  // namespace whimbrel
