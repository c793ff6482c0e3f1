// run.json: what ran, with what, on what, and what became of every recording.
#pragma once

#include <string>
#include <vector>

#include "pipeline/ensemble.h"
#include "whimbrel/pipeline.h"

namespace whimbrel {

std::vector<MemberResult> describe_members(const Ensemble& ensemble);

/// Text of run.json.
std::string run_record(const PredictOptions& options, const PredictResult& result);

/// Writes <out_dir>/run.json (docs/formats.md gives every key) and returns its path. @throws Error{io}
std::filesystem::path write_run_record(const PredictOptions& options, const PredictResult& result);

}  // namespace whimbrel
