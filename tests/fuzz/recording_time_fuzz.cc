// When a recording began: chunks of its header, and its name.
#include "fuzz/fuzz.h"
#include "whimbrel/audio.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace whimbrel;
  static const fuzz::Folder folder;
  const auto input = fuzz::parts(fuzz::text(data, size), 2);
  const auto path = folder.write("recording.wav", input[0]);
  for (const auto& time : {recording_time(path), recording_time_from_name(std::filesystem::path(input[1]))}) {
    if (time) fuzz::require(!rfc3339(moment_in(*time, 48000 * 86400LL, 44100)).empty());
  }
  return 0;
}
