// An ONNX file with external data beside it, as quantize reads it.
#include "fuzz/fuzz.h"
#include "quantize/graph.h"
#include "whimbrel/engines.h"

namespace {

void read_all(const whimbrel::quantize::Graph& graph) {
  using namespace whimbrel;
  for (const auto& [name, tensor] : graph.constants) {
    const auto shape = graph.shape_of(name);
    if (tensor.data_type() == onnx::TensorProto::FLOAT)
      fuzz::require(static_cast<std::int64_t>(graph.floats(name).size()) == element_count(shape));
    fuzz::answers([&] { (void)graph.integers(name); });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace whimbrel;
  static const fuzz::Folder folder;
  static const auto values = folder.write("model.onnx.data", std::string(4096, '\1'));
  const auto path = folder.write("model.onnx", fuzz::text(data, size));
  fuzz::answers([&] { check_model_files(path); });
  fuzz::answers([&] {
    auto graph = quantize::Graph::load(path);
    read_all(graph);
    graph.set_metadata("key", "value");
    graph.remove_unused();
    graph.with_outputs({"a", graph.input()}).save_scratch(folder / "again.onnx");
    if (!graph.nodes.empty()) read_all(quantize::Graph::load(folder / "again.onnx"));
  });
  return 0;
}
