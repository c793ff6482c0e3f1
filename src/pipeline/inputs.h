// What the user named on the command line -> the recordings of the run.
#pragma once

#include <string>
#include <vector>

#include "pipeline/formats.h"

namespace whimbrel {

/// Expands folders (recursively, in byte order of the paths; links to folders are not followed) and "@list.txt" (one path a
/// line, relative to the working folder). A file is kept whatever its ending; in folders recording_extensions() decide. A path
/// named twice counts once. What is missing from a list, cannot be looked at, or is a folder below a given one that cannot be
/// listed, is one bad recording and not a bad run.
/// @throws Error{not_found} for an argument or list that does not exist, Error{invalid_argument} when there is no recording at
/// all
std::vector<RecordingName> find_recordings(const std::vector<std::string>& inputs);

/// Makes an output folder, so that one that cannot be used is told at once and not after hours.
/// @throws Error{invalid_argument}
void prepare_folder(const std::filesystem::path& folder);

/// Every `count`-th recording, beginning with the `index`-th (from 1). @throws Error{invalid_argument}
std::vector<RecordingName> shard(std::vector<RecordingName> recordings, int index, int count);

}  // namespace whimbrel
