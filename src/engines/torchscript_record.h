// What `whimbrel export` records inside a .pt file: TorchScript itself has neither names of outputs nor shapes.
#pragma once

#include <string>
#include <vector>

#include "whimbrel/core.h"

namespace whimbrel::engines {

/// Name of the record in the archive (torch.jit.save's _extra_files).
inline constexpr auto kRecordFile = "whimbrel.json";

struct TorchRecord {
  std::string input;                 // name; empty: not recorded
  Shape shape;                       // of the input, -1 free; empty: not recorded
  std::vector<std::string> outputs;  // names in the network's order; empty: not recorded
};

/// {"input": {"name": "input", "shape": [-1, 3, 128, 313]}, "outputs": ["clip", "frame"]}; every key may be absent, others are
/// passed over.
/// @param text  empty: no record
/// @throws Error{bad_manifest} for anything else
TorchRecord parse_record(const std::string& text, const std::string& where);

}  // namespace whimbrel::engines
