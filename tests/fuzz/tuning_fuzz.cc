// JSON from elsewhere: the cache of settings, and the certificate inside a model.
#include "pipeline/tuning.h"

#include "fuzz/fuzz.h"
#include "whimbrel/quantize.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace whimbrel;
  static const fuzz::Folder folder;
  static const auto model = folder.write("model.of-no-engine", "x");
  const auto path = folder.write("tuning.json", fuzz::text(data, size));
  ::setenv("WHIMBREL_CACHE", path.parent_path().c_str(), 1);
  fuzz::answers([&] { (void)find_settings(model, {1, 2}); });
  fuzz::answers([&] { (void)parse_verdict(std::string(fuzz::text(data, size))); });
  return 0;
}
