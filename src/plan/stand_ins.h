// What other modules are about to offer, in small, so that the rest of `plan` is written against its final form.
// TO SWAP: Metric and metric_value() -> score.h; duration_from_string() -> core.h; window_count() -> audio.h;
// truth_of(), find_forms() and recordings_of() -> pipeline.h. Then this header and stand_ins.cc go.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "whimbrel/audio.h"
#include "whimbrel/models.h"

namespace whimbrel {

enum class Metric { macro_roc_auc, padded_cmap, macro_ap, micro_ap };
std::string_view to_string(Metric metric);

/// @param scores  [rows, classes] row-major; `truth` likewise, 0 or not
/// @throws Error{invalid_argument} where no class can be scored
double metric_value(Metric metric, std::span<const float> scores, std::span<const std::uint8_t> truth, std::size_t classes);

/// @throws Error{invalid_argument}
double duration_from_string(std::string_view text);

/// Windows that a signal of `samples` at the grid's rate gives, by the rule of WindowGrid; 0 without a sample.
std::int64_t window_count(const WindowGrid& grid, std::int64_t samples);

/// One-hot truth [row_ids, classes] from a CSV of `row_id` and one column a class.
/// @throws Error{invalid_argument} for a row or class that only one side has
std::vector<std::uint8_t> truth_of(const std::filesystem::path& path, const std::vector<std::string>& row_ids,
                                   const std::vector<std::string>& classes, double window_s);

/// A model as one file: the network itself, or an INT8 one made from it.
struct ModelForm {
  std::filesystem::path manifest;
  std::string precision;         // "fp32", "int8"
  std::filesystem::path source;  // of an INT8 form: the float model beside it; else the model itself
};
std::vector<ModelForm> find_forms(const Manifest& manifest);

std::vector<std::filesystem::path> recordings_of(const std::vector<std::string>& inputs);

}  // namespace whimbrel
