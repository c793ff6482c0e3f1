#include "pipeline/formats.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pipeline/formats_detections.h"
#include "pipeline/formats_kinds.h"

namespace whimbrel {
namespace {

void check_context(const FormatContext& context) {
  const auto require = [](bool good, const std::string& message) {
    if (!good) throw Error(ErrorCode::invalid_argument, message);
  };
  const auto& grid = context.grid;
  require(!context.labels.empty(), "0 labels, expected at least one; name the model's classes in its labels file");
  require(grid.sample_rate_hz > 0 && grid.window_samples > 0 && grid.hop_samples > 0,
          fmt::format("windows of {} samples every {} at {} Hz, expected numbers above 0; see [input] of the manifest",
                      grid.window_samples, grid.hop_samples, grid.sample_rate_hz));
}

}  // namespace

const std::vector<std::string>& format_names() {
  static const std::vector<std::string> names = {"kaggle", "csv", "raven", "audacity", "kaleidoscope", "jsonl", "npy"};
  return names;
}

std::unique_ptr<OutputFormat> make_format(std::string_view name, const FormatContext& context) {
  check_context(context);
  if (name == "kaggle") return make_kaggle(context);
  if (name == "npy") return make_npy(context);
  for (const auto& layout : detection_layouts()) {
    if (layout.name == name) return make_detections(layout, context);
  }
  const std::string closest = closest_word(name, format_names());
  throw Error(ErrorCode::invalid_argument,
              fmt::format("output format \"{}\" is unknown, expected one of {}{}", name, fmt::join(format_names(), ", "),
                          closest.empty() ? "" : fmt::format("; did you mean \"{}\"?", closest)));
}

}  // namespace whimbrel
