// A recording: opened, decoded by libsndfile or FFmpeg, resampled and cut into windows.
#include "fuzz/fuzz.h"
#include "whimbrel/audio.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace whimbrel;
  static const fuzz::Folder folder;
  const auto path = folder.write("recording", fuzz::text(data, size));
  fuzz::answers([&] {
    WindowStream stream(path, {{.sample_rate_hz = 8000, .window_samples = 8000, .hop_samples = 8000}});
    // A few bytes may stand for hours of silence, which is no fault.
    constexpr int kMostWindows = 60;
    for (int i = 0; i < kMostWindows && stream.next(); ++i) {
      for (const float x : stream.window(0)) fuzz::require(x - x == 0);  // finite
    }
  });
  return 0;
}
