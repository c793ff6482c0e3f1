// Times of two sessions over the same windows, in turn.
#pragma once

#include "quantize/rows.h"

namespace whimbrel::quantize {

/// Median and spread of base / other over pairs of single windows on one thread.
/// @param seconds  about how long to measure; at least 15 pairs are run
PairedSpeed measure_latency(Session& base, Session& other, const WindowRows& rows, double seconds);

/// Adds throughput on all workers to `speed`: blocks of both sessions in turn, the medians of the blocks.
void measure_throughput(Session& base, Session& other, const WindowRows& rows, int workers, double seconds, PairedSpeed& speed);

}  // namespace whimbrel::quantize
