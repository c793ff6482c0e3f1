// Labels, and the lists that name some of them: species and thresholds.
#include "fuzz/fuzz.h"
#include "models/labels.h"
#include "pipeline/post_process.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace whimbrel;
  static const fuzz::Folder folder;
  const auto input = fuzz::parts(fuzz::text(data, size), 3);
  const auto path = folder.write("labels.txt", input[0]);
  PostProcess post;
  post.species_list = folder.write("species.txt", input[1]);
  post.thresholds = folder.write("thresholds.csv", input[2]);
  fuzz::answers([&] {
    const auto labels = read_labels(path);
    std::vector<bool> listed(labels.size(), true);
    fuzz::answers([&] { listed = listed_classes(post, labels); });
    fuzz::require(class_thresholds(post, labels, listed, 0.5).size() == labels.size());
  });
  return 0;
}
