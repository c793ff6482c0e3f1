// What is known of the speed of model files on this CPU, kept in a file from run to run: tuning.json.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "whimbrel/pipeline.h"

namespace whimbrel {

/// $WHIMBREL_CACHE/tuning.json, else $XDG_CACHE_HOME/whimbrel/tuning.json, else ~/.cache/whimbrel/tuning.json; "" without a
/// home.
std::filesystem::path tuning_path();

/// Settings of a model file, the best one first, as measured on this CPU with as many cores allowed and with the engines that
/// are installed now; empty if there are none. A file that cannot be used is a warning.
/// @param batch  of a run that named one, else 0: then what was found for exactly that comes before what was found for all
std::vector<TunedSetting> find_settings(const std::filesystem::path& model, const Shape& row_shape, int batch = 0);

enum class Tuned {
  bench,  // replaces all that is known of this model file
  quick,  // only what is known for the same batch
};

/// Adds to the file or replaces what it says of this model file on this CPU. Other processes may do the same at the same time.
/// @param settings  the best one first
/// @param batch     that the search was limited to; 0: any
void store_settings(const std::filesystem::path& model, const Shape& row_shape, const std::vector<TunedSetting>& settings,
                    Tuned how, int batch = 0);

}  // namespace whimbrel
