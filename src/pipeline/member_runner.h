// One member on batches of windows: features in, rows of probabilities out.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "pipeline/ensemble.h"
#include "pipeline/scheduler.h"

namespace whimbrel {

/// Of one worker: not thread-safe.
class MemberRunner {
 public:
  /// @param member  of `ensemble`, with an open session
  MemberRunner(const Ensemble& ensemble, const Member& member);

  /// A row for each window: [classes] probabilities, then [classes, frames] where the member gives frame-wise output, then its
  /// embedding where that is asked for. At most the member's batch; places that no window fills are zero, so that every
  /// inference has the session's one shape.
  /// @throws Error{engine}
  std::vector<std::vector<float>> run(std::span<const WindowPtr> windows);

 private:
  void fill_input(std::span<const WindowPtr> windows);
  std::vector<float> row(std::size_t place) const;
  void append_frames(std::span<const float> logits, std::vector<float>& row) const;

  const Ensemble& ensemble_;
  const Member& member_;
  std::unique_ptr<Runner> runner_;
};

}  // namespace whimbrel
