// An engine with a C++ interface lies in a module of its own, loaded on first use: linking it would cost every run of the
// program its libraries.
#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>

#include "engines/common.h"
#include "engines/engine_module.h"

namespace whimbrel::engines {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> engine_candidates(const std::string& file) {
  if (const char* folder = std::getenv("WHIMBREL_ENGINE_PATH"); folder != nullptr && *folder != '\0') {
    return {fs::path(folder) / file};
  }
  return module_candidates(file);
}

/// Empty when it worked, else why not.
std::string open_module(const fs::path& path, LoadedModule& loaded) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return one_line(dlerror());
  const auto entry = reinterpret_cast<EngineModuleEntry>(dlsym(library, kEngineModuleEntry));
  loaded.module = entry == nullptr ? nullptr : entry(WHIMBREL_VERSION);
  if (loaded.module == nullptr) return path.string() + " is not of this version of whimbrel";
  loaded.status.version = loaded.module->version();
  loaded.status.available = true;
  return {};
}

}  // namespace

EngineModule& LoadedModule::require(const fs::path& model) const {
  if (module == nullptr) throw Error(ErrorCode::unsupported, where_of(status.kind, model) + ": " + status.remedy);
  return *module;
}

LoadedModule load_module(EngineKind kind, std::string_view name, std::string_view install) {
  LoadedModule loaded{.status = {.kind = kind}};
  const std::string file = fmt::format("whimbrel-{}.so", to_string(kind));
  std::string failures;
  std::string places;
  for (const auto& candidate : engine_candidates(file)) {
    places += (places.empty() ? "" : ", ") + candidate.string();
    std::error_code ignored;
    if (!fs::exists(candidate, ignored)) continue;
    const std::string failure = open_module(candidate, loaded);
    if (failure.empty()) return loaded;
    failures += (failures.empty() ? "" : "; ") + failure;
  }
  loaded.status.remedy = fmt::format(
      "{} did not load ({}); {}, configure and build again so that {} exists, or set WHIMBREL_ENGINE_PATH to its folder", name,
      failures.empty() ? "looked for " + places : failures, install, file);
  return loaded;
}

}  // namespace whimbrel::engines
