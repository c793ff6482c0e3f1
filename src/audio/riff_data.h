// Where the samples of a RIFF WAVE file lie, by its own chunks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace whimbrel::audio {

struct RiffData {
  std::string format;              // body of the "fmt " chunk
  std::int64_t begin = 0;          // offset of the samples in the file
  std::int64_t present_bytes = 0;  // from there to the end of the file
  std::int64_t claimed_bytes = 0;  // by the header; what is present where it says nothing
  bool beyond_32_bits = false;     // the header's 32 bits cannot say it, or it says nothing: claimed_bytes is worked out
};

/// Of RIFF, RF64 and BW64. Sizes of 0 in a file that was never closed and from 0x7ffff000 on are what recorders and pipes write
/// before they know (SoX, arecord, FFmpeg): no claim. Past 4 GB the size in a RIFF header has wrapped around.
/// Absent where there is no format or no data chunk within the first thousand.
std::optional<RiffData> find_riff_data(int fd);

/// How many times as large as it is an AIFF, AU or W64 file claims to be; 1 for others and where it does not say.
double claimed_by_present(int fd);

/// The header of an RF64 file whose samples are `data`, up to their first byte.
std::string rf64_header(const RiffData& data);

}  // namespace whimbrel::audio
