// Which engines there are. Also part of the modules, so it may not reach for the loaders.
#include <algorithm>

#include "whimbrel/engines.h"

namespace whimbrel {

std::string_view to_string(EngineKind kind) {
  switch (kind) {
    case EngineKind::onnxruntime:
      return "onnxruntime";
    case EngineKind::openvino:
      return "openvino";
    case EngineKind::torchscript:
      return "torchscript";
  }
  return "unknown";
}

const std::vector<EngineKind>& all_engines() {
  static const std::vector<EngineKind> kinds{EngineKind::onnxruntime, EngineKind::openvino, EngineKind::torchscript};
  return kinds;
}

std::optional<EngineKind> engine_from_string(std::string_view word) {
  const auto found = std::ranges::find_if(all_engines(), [&](EngineKind kind) { return to_string(kind) == word; });
  return found == all_engines().end() ? std::nullopt : std::optional(*found);
}

}  // namespace whimbrel
