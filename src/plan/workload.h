// How many windows a workload has, without decoding it where that can be helped.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "whimbrel/audio.h"

namespace whimbrel {

struct WorkloadSize {
  std::int64_t windows = 0;
  double audio_s = 0;
};

/// @param words  recordings and folders, or one "200x10min": so many of such a length. What cannot be read is left out with a
/// warning, as a run does.
/// @throws Error{not_found}, Error{invalid_argument} for a workload without a window
WorkloadSize measure_workload(const std::vector<std::string>& words, const WindowGrid& grid);

}  // namespace whimbrel
