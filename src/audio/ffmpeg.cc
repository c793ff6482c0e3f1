#include <dlfcn.h>
#include <fmt/format.h>

#include "audio/ffmpeg_module.h"

namespace whimbrel::audio {
namespace {

struct Module {
  OpenWithFfmpeg open = nullptr;
  std::string failure;  // why it is not there
};

Module load() {
  constexpr auto kFile = "whimbrel-ffmpeg.so";
  Module module;
  for (const auto& candidate : module_candidates(kFile)) {
    std::error_code ignored;
    if (!std::filesystem::exists(candidate, ignored)) continue;
    void* library = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      module.failure = dlerror();
      continue;
    }
    const auto entry = reinterpret_cast<FfmpegModuleEntry>(dlsym(library, kFfmpegModuleEntry));
    module.open = entry == nullptr ? nullptr : entry(WHIMBREL_VERSION, &log);
    if (module.open != nullptr) return module;
    module.failure = candidate.string() + " is not of this version of whimbrel";
  }
  if (module.failure.empty()) module.failure = fmt::format("{} is not beside whimbrel; install it again", kFile);
  return module;
}

}  // namespace

std::unique_ptr<RecordingReader> open_with_ffmpeg(const std::filesystem::path& path, std::string& words) {
  static const Module module = load();
  if (module.open != nullptr) return module.open(path, words);
  words = module.failure;
  return nullptr;
}

}  // namespace whimbrel::audio
