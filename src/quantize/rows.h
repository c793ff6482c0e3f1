// Windows as a network is fed them, and running a model over them.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "whimbrel/engines.h"
#include "whimbrel/quantize.h"

namespace whimbrel::quantize {

/// @throws Error{cancelled} when the caller asked for an early end
void check_cancelled(const QuantizeOptions& options);

/// Calls `use(row, runner)` after each row was run, `workers` at a time, each with a runner of its own. Rows go to workers by
/// their index, so what worker w sees does not depend on timing.
/// @throws what a worker threw first
void run_rows(Session& session, const WindowRows& rows, int workers,
              const std::function<void(int worker, std::int64_t row, Runner& runner)>& use);

/// Every output of every row: [outputs][rows * values of a row].
std::vector<std::vector<float>> outputs_of(Session& session, const WindowRows& rows, int workers);

}  // namespace whimbrel::quantize
