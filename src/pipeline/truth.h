// Truth in any of its forms, for windows that somebody names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "whimbrel/pipeline.h"

namespace whimbrel {

/// Who asks for truth, and how strictly.
struct TruthRequest {
  std::filesystem::path truth;
  std::span<const std::string> row_ids;
  const std::vector<std::string>& classes;
  double window_s = 0;  // 0: from the row ids
  TruthOptions options;
  std::string asker;     // whose rows and classes these are, for messages: "submission.csv"
  std::string remedy;    // for rows without truth: "name recordings with truth as --certify"
  bool complete = true;  // the truth may have no other rows or recordings
};

/// @return [rows, classes] of truth_of(), which says the errors
std::vector<std::uint8_t> truth_of(const TruthRequest& request);

}  // namespace whimbrel
