// A manifest with all the files that it can name beside it.
#include "fuzz/fuzz.h"
#include "pipeline/post_process.h"
#include "whimbrel/models.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace whimbrel;
  static const fuzz::Folder folder;
  static const auto model = folder.write("b0.onnx", "not read here");
  const auto input = fuzz::parts(fuzz::text(data, size), 5);
  const auto path = folder.write("b0.toml", input[0]);
  folder.write("labels.txt", input[1]);
  folder.write("probe.npy", input[2]);
  folder.write("species.txt", input[3]);
  folder.write("thresholds.csv", input[4]);
  fuzz::answers([&] {
    const auto manifest = load_manifest(path);
    fuzz::require(!manifest.labels.empty() && element_count(manifest.row_shape()) > 0);
    const auto listed = listed_classes(manifest.post, manifest.labels);
    class_thresholds(manifest.post, manifest.labels, listed, 0.5);
  });
  fuzz::answers([&] { manifest_for(path, "b1.onnx", 0.01); });
  fuzz::answers([&] { derived_manifest(path, {"b1", "b1.onnx", "b1.npy", 0.01}); });
  return 0;
}
