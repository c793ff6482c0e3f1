// Step 6: which layers go back to float, by measurement.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "quantize/trials.h"

namespace whimbrel::quantize {

struct ObserverChoice {
  Observer observer = Observer::mse;  // the best for all tensors alike
  std::map<std::string, int> units;   // observer -> how many units it serves better than that
  double noise = 0;
};

/// Which observer is right depends on what a block makes of outliers, which no rule over one tensor can see. So the network is
/// asked: first for one observer everywhere, then for each unit whether another one leaves less noise at the output.
/// @param only  the user's choice, taken as it is
ObserverChoice choose_observers(Workbench& bench, const std::vector<Unit>& units, std::optional<Observer> only,
                                const WindowRows& rows, const std::vector<float>& reference);

/// What returning one unit to float does, against everything in INT8.
struct UnitEffect {
  Unit unit;
  double time_ratio = 1;  // INT8 everywhere / this unit in float: above 1, its INT8 form is slower
  double ratio_low = 1;
  double noise_saved = 0;  // of Workbench::noise()
};

/// Builds and measures one variant a unit.
/// @param rows       a few windows
/// @param reference  the float model's first output over them
std::vector<UnitEffect> measure_units(Workbench& bench, Trial& all, const std::vector<Unit>& units, const WindowRows& rows,
                                      const std::vector<float>& reference);

/// Units whose INT8 form is slower beyond doubt.
std::vector<const UnitEffect*> slower_units(const std::vector<UnitEffect>& effects);

/// The others, the one with the most noise for the least time first.
std::vector<const UnitEffect*> by_harm(const std::vector<UnitEffect>& effects);

}  // namespace whimbrel::quantize
