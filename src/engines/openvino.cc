#include "engines/common.h"
#include "engines/openvino_api.h"

namespace whimbrel::engines {
namespace {

const LoadedModule& module() {
  static const LoadedModule loaded = load_module(EngineKind::openvino, "OpenVINO", "pip install openvino==2026.4.1");
  return loaded;
}

}  // namespace

EngineStatus openvino_status() { return module().status; }

std::unique_ptr<Session> open_openvino(const std::filesystem::path& model, const SessionOptions& options) {
  return module().require(model).open(model, options);
}

std::vector<NodeTime> profile_with_openvino(const std::filesystem::path& model, const SessionOptions& options,
                                            std::span<const float> input, int runs) {
  return static_cast<OpenVino&>(module().require(model)).profile(model, options, input, runs);
}

std::string openvino_remark(const std::filesystem::path& model, const std::string& key) {
  return static_cast<OpenVino&>(module().require(model)).remark(model, key);
}

ModelInfo inspect_with_openvino(const std::filesystem::path& model, const Shape& row_shape) {
  return module().require(model).inspect(model, row_shape);
}

WrittenIr write_ir(const std::filesystem::path& model, const std::filesystem::path& xml, const ConvertOptions& options) {
  return static_cast<OpenVino&>(module().require(model)).write_ir(model, xml, options);  // it is what the module's entry gives
}

}  // namespace whimbrel::engines
