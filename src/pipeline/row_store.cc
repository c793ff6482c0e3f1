#include "pipeline/row_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/inputs.h"
#include "pipeline/source.h"
#include "whimbrel/pipeline.h"

namespace whimbrel {

std::vector<StoredRow> thinned(const std::vector<StoredRow>& rows, std::size_t most) {
  if (rows.size() <= most) return rows;
  std::vector<StoredRow> kept;
  for (std::size_t i = 0; i < most; ++i) kept.push_back(rows[i * rows.size() / most]);
  return kept;
}

std::vector<StoredRow> RowStore::add(const std::vector<RecordingName>& recordings, std::size_t most) {
  const auto& grid = model_.grids[0];
  std::vector<StoredRow> rows;
  std::int64_t every = 1;  // doubles when there are too many: disk and memory stay bounded on any number of windows
  std::int64_t seen = 0;
  StageTimes times;
  for (std::size_t r = 0; r < recordings.size(); ++r) {
    try {
      RecordingSource source(model_, r, recordings[r]);
      for (auto windows = source.read(1, nullptr, times); !windows.empty(); windows = source.read(1, nullptr, times)) {
        if (seen++ % every != 0) continue;
        const auto& window = *windows[0];
        const auto end = (window.index * grid.hop_samples + grid.window_samples) / grid.sample_rate_hz;
        rows.push_back({spool_.append(window.features[0]), r, fmt::format("{}_{}", recordings[r].path.stem().string(), end)});
        if (rows.size() < 4 * most) continue;
        every *= 2;
        std::vector<StoredRow> half;
        for (std::size_t i = 0; i < rows.size(); i += 2) half.push_back(std::move(rows[i]));
        rows = std::move(half);
      }
      if (!source.stream().error().empty()) log(LogLevel::warning, source.stream().error());
    } catch (const Error& error) {
      if (error.code() != ErrorCode::bad_recording && error.code() != ErrorCode::not_found) throw;
      log(LogLevel::warning, error.what());
    }
  }
  if (rows.empty()) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("not one window could be read from {} recordings, expected at least one that decodes", recordings.size()));
  }
  return thinned(rows, most);
}

WindowRows RowStore::rows(std::vector<StoredRow> rows) const {
  const auto count = static_cast<std::int64_t>(rows.size());
  const auto& manifest = model_.members[0].manifest;
  const std::size_t planes = manifest.kind == InputKind::mel ? static_cast<std::size_t>(manifest.channels) : 1;
  return {count, [this, planes, rows = std::move(rows)](std::int64_t row, std::span<float> input) {
            const auto plane = input.first(input.size() / planes);
            spool_.read(rows[static_cast<std::size_t>(row)].position, plane);
            for (std::size_t p = 1; p < planes; ++p) std::ranges::copy(plane, input.subspan(p * plane.size()).begin());
          }};
}

std::int64_t write_windows(const std::filesystem::path& model, const std::vector<std::string>& recordings, std::size_t most,
                           const std::filesystem::path& file) {
  const auto ensemble = load_ensemble({model}, 0);
  RowStore store(ensemble, file.has_parent_path() ? file.parent_path() : std::filesystem::path("."));
  const auto windows = store.rows(store.add(find_recordings(recordings), most));
  std::vector<float> row(static_cast<std::size_t>(element_count(ensemble.members[0].manifest.row_shape())));
  AtomicFile out(file);
  for (std::int64_t i = 0; i < windows.count; ++i) {
    windows.read(i, row);
    out.write(std::span<const float>(row));
  }
  out.commit();
  return windows.count;
}

}  // namespace whimbrel
