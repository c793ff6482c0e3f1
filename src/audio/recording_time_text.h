// Recording times as headers and names spell them.
#pragma once

#include <optional>
#include <string_view>

#include "whimbrel/audio.h"

namespace whimbrel {

/// The text of a GUANO chunk: its line "Timestamp: 2017-01-01T00:00:00-07:00".
std::optional<RecordingTime> time_of_guano(std::string_view text);

/// A comment: AudioMoth's "Recorded at 19:17:30 21/05/2019 (UTC+2) by AudioMoth ..." or OpenSoundscape's JSON, which keeps
/// AudioMoth's text of the whole recording also in the clips that are cut from it, and says their own start beside it.
std::optional<RecordingTime> time_of_comment(std::string_view text);

/// The date "2023-05-01" and the time "05:00:00" of a bext chunk, with any separator.
std::optional<RecordingTime> time_of_bext(std::string_view date, std::string_view time);

/// A file name without its extension.
std::optional<RecordingTime> time_of_stem(std::string_view stem);

}  // namespace whimbrel
