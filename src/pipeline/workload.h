// How many windows recordings will give, before they are decoded.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pipeline/formats.h"

namespace whimbrel {

struct Workload {
  std::vector<std::int64_t> windows;  // per recording; 0 for what cannot be opened
  std::int64_t total = 0;
  std::size_t guessed = 0;  // recordings that there was no time to open, or whose headers say nothing: guessed by their size
};

/// Opens recordings for what their headers claim, spread over the list, for at most `most_s` seconds; the rest is guessed from
/// the file sizes. Headers that claim more than their bytes can hold are not believed.
Workload estimate_workload(std::span<const RecordingName> recordings, const WindowGrid& grid, int workers, double most_s);

}  // namespace whimbrel
