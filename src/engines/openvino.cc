// OpenVINO lies in a module of its own, loaded on first use: linking it would cost every run of the program its libraries.
#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>

#include "engines/common.h"
#include "engines/openvino_api.h"

namespace whimbrel::engines {
namespace {

namespace fs = std::filesystem;

constexpr auto kModuleFile = "whimbrel-openvino.so";
constexpr auto kRemedy =
    "pip install openvino==2026.4.1, configure and build again so that whimbrel-openvino.so exists, or set "
    "WHIMBREL_ENGINE_PATH to its folder";

std::vector<fs::path> module_candidates() {
  if (const char* folder = std::getenv("WHIMBREL_ENGINE_PATH"); folder != nullptr && *folder != '\0') {
    return {fs::path(folder) / kModuleFile};
  }
  std::vector<fs::path> candidates;
  for (const auto& folder : own_folders()) {
    candidates.push_back(folder / kModuleFile);
    candidates.push_back(folder.parent_path() / "lib" / "whimbrel" / kModuleFile);
  }
  candidates.emplace_back(WHIMBREL_OPENVINO_MODULE);
  return candidates;
}

struct Loaded {
  EngineStatus status{.kind = EngineKind::openvino};
  OpenVino* openvino = nullptr;
};

/// Empty when it worked, else why not.
std::string load_module(const fs::path& path, Loaded& loaded) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return one_line(dlerror());
  const auto entry = reinterpret_cast<OpenVinoEntry>(dlsym(library, kOpenVinoEntry));
  loaded.openvino = entry == nullptr ? nullptr : entry(WHIMBREL_VERSION);
  if (loaded.openvino == nullptr) return path.string() + " is not of this version of whimbrel";
  loaded.status.version = loaded.openvino->version();
  loaded.status.available = true;
  return {};
}

Loaded load() {
  Loaded loaded;
  std::string failures;
  std::string places;
  for (const auto& candidate : module_candidates()) {
    places += (places.empty() ? "" : ", ") + candidate.string();
    std::error_code ignored;
    if (!fs::exists(candidate, ignored)) continue;
    const std::string failure = load_module(candidate, loaded);
    if (failure.empty()) return loaded;
    failures += (failures.empty() ? "" : "; ") + failure;
  }
  loaded.status.remedy =
      fmt::format("OpenVINO did not load ({}); {}", failures.empty() ? "looked for " + places : failures, kRemedy);
  return loaded;
}

const Loaded& module() {
  static const Loaded loaded = load();
  return loaded;
}

OpenVino& require(const fs::path& model) {
  if (module().openvino == nullptr) {
    throw Error(ErrorCode::unsupported, where_of(EngineKind::openvino, model) + ": " + module().status.remedy);
  }
  return *module().openvino;
}

}  // namespace

EngineStatus openvino_status() { return module().status; }

std::unique_ptr<Session> open_openvino(const fs::path& model, const SessionOptions& options) {
  return require(model).open(model, options);
}

std::vector<NodeTime> profile_with_openvino(const fs::path& model, const SessionOptions& options, std::span<const float> input,
                                            int runs) {
  return require(model).profile(model, options, input, runs);
}

std::string openvino_remark(const fs::path& model, const std::string& key) { return require(model).remark(model, key); }

ModelInfo inspect_with_openvino(const fs::path& model, const Shape& row_shape) {
  return require(model).inspect(model, row_shape);
}

}  // namespace whimbrel::engines
