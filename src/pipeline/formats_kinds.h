// The formats that write scores, each made by its own file; those that list detections are in formats_detections.h.
#pragma once

#include <memory>

#include "pipeline/formats.h"

namespace whimbrel {

std::unique_ptr<OutputFormat> make_kaggle(const FormatContext& context);
std::unique_ptr<OutputFormat> make_npy(const FormatContext& context);

}  // namespace whimbrel
