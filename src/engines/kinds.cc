// Which engines there are. Also part of the OpenVINO module, so it may not reach for the loaders.
#include <algorithm>

#include "whimbrel/engines.h"

namespace whimbrel {

std::string_view to_string(EngineKind kind) { return kind == EngineKind::onnxruntime ? "onnxruntime" : "openvino"; }

const std::vector<EngineKind>& all_engines() {
  static const std::vector<EngineKind> kinds{EngineKind::onnxruntime, EngineKind::openvino};
  return kinds;
}

std::optional<EngineKind> engine_from_string(std::string_view word) {
  const auto found = std::ranges::find_if(all_engines(), [&](EngineKind kind) { return to_string(kind) == word; });
  return found == all_engines().end() ? std::nullopt : std::optional(*found);
}

}  // namespace whimbrel
