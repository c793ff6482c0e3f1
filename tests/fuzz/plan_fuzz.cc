// A plan, and what is written of it.
#include "fuzz/fuzz.h"
#include "whimbrel/plan.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace whimbrel;
  static const fuzz::Folder folder;
  const auto path = folder.write("plan.toml", fuzz::text(data, size));
  fuzz::answers([&] {
    const auto plan = read_plan(path);
    write_plan(plan, folder / "again.toml");
    fuzz::require(read_plan(folder / "again.toml").members.size() == plan.members.size());
  });
  return 0;
}
