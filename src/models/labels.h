// The labels file of a model: one class a line.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "whimbrel/models.h"

namespace whimbrel {

/// UTF-8, LF or CRLF, a byte order mark is dropped; blank lines at the end are ignored.
/// @throws Error{not_found}, Error{io}, Error{invalid_argument} when larger than 64 MiB, Error{bad_manifest}: no labels, a
/// blank line in between, a label twice
std::vector<Label> read_labels(const std::filesystem::path& path);

}  // namespace whimbrel
