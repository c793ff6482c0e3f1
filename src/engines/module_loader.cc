// An engine with a C++ interface lies in a module of its own, loaded on first use: linking it would cost every run of the
// program its libraries.
#include <fmt/format.h>

#include <cstdlib>

#include "engines/common.h"
#include "engines/engine_module.h"

namespace whimbrel::engines {

EngineModule& LoadedModule::require(const std::filesystem::path& model) const {
  if (module == nullptr) throw Error(ErrorCode::unsupported, where_of(status.kind, model) + ": " + status.remedy);
  return *module;
}

LoadedModule load_module(EngineKind kind, std::string_view name, std::string_view install) {
  LoadedModule loaded{.status = {.kind = kind}};
  const std::string file = fmt::format("whimbrel-{}.so", to_string(kind));
  const char* folder = std::getenv("WHIMBREL_ENGINE_PATH");
  const auto failure = open_module(file, folder == nullptr ? "" : folder, kEngineModuleEntry, [&](void* function) {
    loaded.module = reinterpret_cast<EngineModuleEntry>(function)(WHIMBREL_VERSION);
    return loaded.module != nullptr;
  });
  if (failure.empty()) {
    loaded.status.version = loaded.module->version();
    loaded.status.available = true;
    return loaded;
  }
  loaded.status.remedy = fmt::format(
      "{} did not load ({}); {}, configure and build again so that {} exists, or set WHIMBREL_ENGINE_PATH to its folder", name,
      one_line(failure), install, file);
  return loaded;
}

}  // namespace whimbrel::engines
