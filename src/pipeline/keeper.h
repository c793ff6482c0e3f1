// Keeps what is found in memory, as the formats are told it; and tells it to formats again.
#pragma once

#include <memory>

#include "pipeline/formats.h"
#include "whimbrel/pipeline.h"

namespace whimbrel {

/// Scores and detections; `prediction` must outlive it.
std::unique_ptr<OutputFormat> make_keeper(Prediction& prediction);
std::unique_ptr<OutputFormat> make_embeddings_keeper(Prediction& prediction);

}  // namespace whimbrel
