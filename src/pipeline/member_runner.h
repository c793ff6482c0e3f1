// One member on batches of windows: features in, rows of probabilities out.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/ensemble.h"
#include "pipeline/fallback.h"
#include "pipeline/scheduler.h"

namespace whimbrel {

struct BatchRows {
  std::vector<std::vector<float>> rows;  // one a window; empty: it has none, because of
  std::string reason;
  Fallback::Fault fault{};
};

/// Of one worker: not thread-safe.
class MemberRunner {
 public:
  /// @param member  of `ensemble`, with an open session
  MemberRunner(const Ensemble& ensemble, const Member& member, std::shared_ptr<Fallback> fallback)
      : ensemble_(ensemble), member_(member), fallback_(std::move(fallback)) {}

  /// A row for each window: [classes] probabilities, then [classes, frames] where the member gives frame-wise output, then its
  /// embedding where that is asked for. At most the member's batch; places that no window fills are zero, so that every
  /// inference has the session's one shape. A batch on which the engine throws, or whose outputs are not finite, is run once
  /// more in another engine; windows for which that fails too have no row.
  /// @throws Error{bad_manifest}, Error{internal}
  BatchRows run(std::span<const WindowPtr> windows);

 private:
  using Windows = std::span<const WindowPtr>;

  BatchRows attempt(std::unique_ptr<Runner>& runner, Session& session, std::string_view engine, Windows windows) const;
  void retry(Windows windows, BatchRows& batch);
  void fill_input(Windows windows, std::span<float> input) const;
  std::vector<float> row(const Runner& runner, std::size_t place) const;
  void append_frames(std::span<const float> logits, std::vector<float>& row) const;

  const Ensemble& ensemble_;
  const Member& member_;
  std::shared_ptr<Fallback> fallback_;
  std::unique_ptr<Runner> runner_;  // null until it is needed, and again when it has failed
  std::unique_ptr<Runner> other_;   // of fallback_
};

}  // namespace whimbrel
