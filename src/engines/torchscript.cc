#include "engines/common.h"
#include "engines/engine_module.h"

namespace whimbrel::engines {
namespace {

const LoadedModule& module() {
  static const LoadedModule loaded = load_module(EngineKind::torchscript, "TorchScript", "pip install torch==2.13.0");
  return loaded;
}

}  // namespace

EngineStatus torchscript_status() { return module().status; }

std::unique_ptr<Session> open_torchscript(const std::filesystem::path& model, const SessionOptions& options) {
  return module().require(model).open(model, options);
}

ModelInfo inspect_with_torchscript(const std::filesystem::path& model, const Shape& row_shape) {
  return module().require(model).inspect(model, row_shape);
}

}  // namespace whimbrel::engines
