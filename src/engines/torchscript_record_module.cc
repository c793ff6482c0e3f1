#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engines/torchscript_record.h"

namespace whimbrel::engines {

TorchRecord parse_record(const std::string& text, const std::string& where) {
  TorchRecord record;
  if (text.empty()) return record;
  try {
    const auto json = nlohmann::json::parse(text);
    const auto input = json.value("input", nlohmann::json::object());
    record.input = input.value("name", "");
    record.shape = input.value("shape", Shape());
    record.outputs = json.value("outputs", std::vector<std::string>());
  } catch (const nlohmann::json::exception& e) {
    throw Error(ErrorCode::bad_manifest,
                fmt::format("{}: its {} cannot be read ({}); export the model again, or save it without", where, kRecordFile,
                            e.what()));
  }
  if (std::ranges::any_of(record.shape, [](std::int64_t axis) { return axis != -1 && axis < 1; })) {
    throw Error(ErrorCode::bad_manifest,
                fmt::format("{}: its {} gives the input's shape as {}, expected axes of at least 1, or -1", where, kRecordFile,
                            to_string(record.shape)));
  }
  return record;
}

}  // namespace whimbrel::engines
