// FFmpeg is in a module of its own, loaded when the first recording needs it: its libraries are many (130 on Debian), and
// loading them would cost every start of the program 30 ms.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "audio/decoder.h"
#include "whimbrel/core.h"

namespace whimbrel::audio {

using OpenWithFfmpeg = std::unique_ptr<RecordingReader> (*)(const std::filesystem::path& path, std::string& words);
/// A module has a log of its own; this leads to the program's.
using LogOfProgram = void (*)(LogLevel level, std::string_view message);

/// Both sides hand C++ objects to each other, so they must come from one build: a module of another version gives nullptr.
using FfmpegModuleEntry = OpenWithFfmpeg (*)(const char* program_version, LogOfProgram log_of_program);
inline constexpr auto kFfmpegModuleEntry = "whimbrel_ffmpeg_module";

}  // namespace whimbrel::audio
