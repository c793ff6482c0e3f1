// What stands in for a member's engine where that fails on a batch: another installed engine that reads the same model file.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "pipeline/ensemble.h"

namespace whimbrel {

/// Of one member, shared by the workers: thread-safe.
class Fallback {
 public:
  enum class Fault { threw, not_finite };
  struct Other {
    std::unique_ptr<Session> session;  // null: none
    std::string engine;
    std::string why_none;
  };

  /// @param member   with an open session; must outlive this
  /// @param workers  most that run at the same time
  Fallback(const Member& member, int workers) : member_(member), workers_(workers) {}

  /// The other engine, opened and checked on the probe at the first call, since few runs ever need it.
  const Other& other();

  /// Warns once for each kind of fault: a night's log must stay readable.
  void warn(Fault fault, std::string_view words);

  void count_batch() { batches_.fetch_add(1, std::memory_order_relaxed); }
  /// Batches in which the other engine's rows were used.
  std::int64_t batches() const { return batches_.load(std::memory_order_relaxed); }

 private:
  void open();

  const Member& member_;
  const int workers_;
  std::once_flag opened_;
  Other other_;
  std::array<std::atomic_flag, 2> warned_{};
  std::atomic<std::int64_t> batches_{0};
};

}  // namespace whimbrel
