// A NumPy array.
#include "fuzz/fuzz.h"
#include "whimbrel/io.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace whimbrel;
  static const fuzz::Folder folder;
  const auto path = folder.write("probe.npy", fuzz::text(data, size));
  fuzz::answers([&] {
    const auto array = read_npy(path);
    fuzz::require(array.values.size() * sizeof(float) <= size);
  });
  return 0;
}
