// A short search for a good setting of a model, within a time.
#pragma once

#include <functional>
#include <vector>

#include "pipeline/settings.h"
#include "whimbrel/pipeline.h"

namespace whimbrel {

/// A model open in one setting.
struct Trial {
  OpenedModel opened;
  std::function<double()> run;  // once; returns seconds of one window
};

struct TrialHooks {
  std::function<Trial(const Setting&)> open;  // with check and timed run
  std::function<double()> now_s;
};

struct TrialResult {
  Trial winner;
  std::vector<TunedSetting> settings;  // all that were tried, the winner first
};

/// Tries `engines` with the first of `batches`, then the other batches with the better engine, in this order, in pairs of runs
/// on one thread. What is not expected to be open and compared `budget_s` after the call is left out; the first setting is
/// always opened.
/// @throws what opening the first setting throws; others that fail are left out
TrialResult find_setting(const std::vector<EngineKind>& engines, const std::vector<int>& batches, double budget_s,
                         const TrialHooks& hooks);

}  // namespace whimbrel
