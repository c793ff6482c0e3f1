#include "audio/ffmpeg_module.h"

namespace whimbrel::audio {
namespace {

struct Module {
  OpenWithFfmpeg open = nullptr;
  std::string failure;  // why it is not there
};

Module load() {
  Module module;
  module.failure = open_module("whimbrel-ffmpeg.so", "", kFfmpegModuleEntry, [&](void* function) {
    module.open = reinterpret_cast<FfmpegModuleEntry>(function)(WHIMBREL_VERSION, &log);
    return module.open != nullptr;
  });
  return module;
}

}  // namespace

std::unique_ptr<RecordingReader> open_with_ffmpeg(const std::filesystem::path& path, std::string& words) {
  static const Module module = load();
  if (module.open != nullptr) return module.open(path, words);
  words = "whimbrel-ffmpeg.so did not load (" + module.failure + "); install whimbrel again";
  return nullptr;
}

}  // namespace whimbrel::audio
