// What a model file says of itself, told without an engine where that is possible.
#pragma once

#include <filesystem>
#include <optional>

#include "whimbrel/engines.h"
#include "whimbrel/quantize.h"

namespace whimbrel {

/// The certificate's word in a model of `whimbrel quantize`. An engine is only asked when the file holds the key at all.
std::optional<Verdict> verdict_of(EngineKind reader, const std::filesystem::path& model);

/// Installed engines that read the file, in the order of all_engines().
std::vector<EngineKind> engines_that_read(const std::filesystem::path& model);

/// The float model that an INT8 one was made from, if it lies beside it unchanged.
std::optional<std::filesystem::path> source_beside(const std::filesystem::path& model, const Verdict& verdict);

}  // namespace whimbrel
