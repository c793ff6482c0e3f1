// What is done with a recording's scores before they are written. docs/postprocessing.md has the formulas.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "whimbrel/models.h"
#include "whimbrel/pipeline.h"

namespace whimbrel {

/// Rows of one recording, windows 0, 1, 2, ... in order; may be called more than once.
using Rows = std::function<void(const std::function<void(std::int64_t index, std::span<const float> row)>&)>;

/// The manifest's [postprocess] with what the options replace.
/// @throws Error{invalid_argument} for values out of range, options that do nothing without another one, events without a
/// frame-wise output
PostProcess resolve_post_process(const Manifest& first, const PredictOptions& options);

/// Which classes may be found, one a label: those that a line of post.species_list names by label, scientific or common name.
/// @throws Error{not_found}, Error{invalid_argument} for a name that no label has (with the closest) or an empty list
std::vector<bool> listed_classes(const PostProcess& post, const std::vector<Label>& labels);

/// One threshold a class: that of post.thresholds, else `fallback`; infinite for classes that are not listed.
/// @throws Error{not_found}, Error{invalid_argument} as above, for a class twice, or for what is no number in 0..1
std::vector<float> class_thresholds(const PostProcess& post, const std::vector<Label>& labels, const std::vector<bool>& listed,
                                    double fallback);

/// Smoothed, times the prior, 0 for classes that are not listed; `scores` itself where there is nothing to do. Memory: as many
/// rows as there are weights. With a prior each call reads `scores` twice.
Rows post_processed(Rows scores, const PostProcess& post, const std::vector<bool>& listed);

}  // namespace whimbrel
