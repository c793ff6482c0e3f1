// The formats that write scores, each made by its own file; those that list detections are in formats_detections.h.
#pragma once

#include <memory>

#include "pipeline/formats.h"

namespace whimbrel {

std::unique_ptr<OutputFormat> make_kaggle(const FormatContext& context);
std::unique_ptr<OutputFormat> make_npy(const FormatContext& context);
/// No format of its own, but written as npy is: embeddings.npy and embeddings.index.csv. Rows are as long as the first one.
std::unique_ptr<OutputFormat> make_embeddings(const FormatContext& context);

}  // namespace whimbrel
