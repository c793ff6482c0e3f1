// A submission and the truth that it is scored against, in all forms that truth can have.
#include "fuzz/fuzz.h"
#include "whimbrel/pipeline.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace whimbrel;
  static const fuzz::Folder folder;
  const auto input = fuzz::parts(fuzz::text(data, size), 2);
  const auto predictions = folder.write("submission.csv", input[0]);
  const auto truth = folder.write("dawn.selections.txt", input[1]);
  fuzz::answers([&] {
    const auto joined = join_predictions(predictions, truth, {.window_s = 5});
    fuzz::require(joined.truth.size() == joined.rows.size() * joined.classes.size());
  });
  const std::vector<std::string> rows = {"dawn_5", "dawn_10"};
  const std::vector<std::string> classes = {"Parus major_Great Tit", "noise"};
  fuzz::answers([&] { (void)truth_of(truth, rows, classes, 5, {}); });
  return 0;
}
