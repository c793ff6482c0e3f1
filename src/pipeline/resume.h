// What a run takes over from one that was ended before it.
#pragma once

#include <string>
#include <vector>

#include "pipeline/ensemble.h"
#include "pipeline/formats.h"
#include "pipeline/journal.h"

namespace whimbrel {

/// All that scores depend on beside the recordings, as one line of JSON.
std::string run_settings(const Ensemble& ensemble, const std::vector<double>& tta_shifts_s);

/// Members take the engine and batch that the earlier run has found for them, which "auto" might choose otherwise this time.
void take_engines(Ensemble& ensemble, const std::string& earlier_settings);

/// Begins a journal or goes on with it, as `mode` says. Returns for each of `names` what an earlier run has finished of it, or
/// null; valid as long as the journal.
/// @throws Error{invalid_argument} for Resume::strict, where models, settings or a finished recording have changed since
std::vector<const JournaledRecording*> go_on(Journal& journal, Resume mode, const std::string& settings, std::size_t row_size,
                                             const std::vector<RecordingName>& names);

}  // namespace whimbrel
