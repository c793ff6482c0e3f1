// Windows of recordings kept on disk, as a network is fed them.
#pragma once

#include <string>
#include <vector>

#include "pipeline/ensemble.h"
#include "pipeline/formats.h"
#include "whimbrel/io.h"
#include "whimbrel/quantize.h"

namespace whimbrel {

struct StoredRow {
  std::int64_t position = 0;  // in the spool
  std::size_t recording = 0;
  std::string row_id;  // "<stem>_<window end in whole seconds>"
};

/// Windows of one model's front end. Memory does not depend on the number of windows.
class RowStore {
 public:
  /// @param model  the only member of an ensemble
  RowStore(const Ensemble& model, const std::filesystem::path& folder) : model_(model), spool_(folder) {}

  /// Reads recordings and keeps at most `most` of their windows, spread evenly. What cannot be read is logged and left out.
  /// @throws Error{invalid_argument} when not one window could be read
  std::vector<StoredRow> add(const std::vector<RecordingName>& recordings, std::size_t most);

  /// The windows of `rows`; valid as long as this store.
  WindowRows rows(std::vector<StoredRow> rows) const;

 private:
  const Ensemble& model_;
  Spool spool_;
};

/// At most `most` of them, spread evenly.
std::vector<StoredRow> thinned(const std::vector<StoredRow>& rows, std::size_t most);

}  // namespace whimbrel
