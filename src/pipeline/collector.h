// Members' outputs, arriving in any order -> the ensemble's scores of each recording, in window order, kept on disk until the
// recording's turn to be written comes, or in the journal of a run that is gone on with.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/ensemble.h"
#include "pipeline/journal.h"
#include "pipeline/rank_mean.h"
#include "pipeline/scheduler.h"
#include "whimbrel/io.h"

namespace whimbrel {

/// Thread-safe. Memory: the windows under way and a small buffer per recording under way.
class Collector {
 public:
  /// @param journal      keeps the rows; begun with row_size()
  /// @param temporaries  a folder for what is needed besides
  Collector(const Ensemble& ensemble, std::size_t recordings, Journal& journal, const std::filesystem::path& temporaries);

  /// Floats of a row in the journal: the combined one, then for Mean::rank the members' own scores.
  static std::size_t row_size(const Ensemble& ensemble);

  /// The recording was finished by an earlier run.
  void restore(std::size_t recording, const std::vector<RowRun>& runs);

  /// One member's row of one window. True if that completed the recording.
  /// @param admitted  the member is the cascade's gate and lets the window through to the others
  bool add(std::size_t member, const Window& window, std::vector<float> row, bool admitted = false);

  /// The recording has exactly `windows` windows. True if that completed it.
  bool set_window_count(std::size_t recording, std::int64_t windows);

  /// Marks a recording as one that gives no scores; what comes of it later is dropped.
  void abandon(std::size_t recording, std::string reason);

  /// Ends a recording with the windows that at least one member has scored (and one that gives each other thing that is asked
  /// for), up to the first that lacks it.
  void close(std::size_t recording);

  enum class Status { under_way, complete, abandoned };
  Status status(std::size_t recording) const;
  std::string reason(std::size_t recording) const;
  /// Windows of a recording that have been put in order so far.
  std::int64_t windows_of(std::size_t recording) const;

  /// Windows of all recordings that have been put in order so far.
  std::int64_t windows() const { return windows_.load(std::memory_order_relaxed); }

  /// Of Mean::rank: once all windows are there, before the first for_each().
  void finish_ranks();

  /// Calls `take(index, row)` for each window of a complete recording in order; row: [layout.size()] of the ensemble.
  template <class Take>
  void for_each(std::size_t recording, Take take) const;

  void forget(std::size_t recording);

 private:
  struct PendingWindow {
    std::vector<std::vector<float>> rows;  // per member; empty: not there yet
    std::size_t missing = 0;
  };
  std::size_t count_expected(const Window& window, bool gated) const;
  struct Recording {
    Status status = Status::under_way;
    std::string reason;
    std::int64_t next_index = 0;  // windows below it are in `buffer` or the journal
    std::int64_t windows = -1;    // -1: not known yet
    std::map<std::int64_t, PendingWindow> pending;
    std::vector<float> buffer;
    std::vector<RowRun> runs;
    std::vector<RowRun> ranks;  // in ranks_
  };

  void combine(std::size_t number, Recording& recording, const PendingWindow& window);
  struct RankCursor {
    std::size_t run = 0;
    std::int64_t row = 0;  // of the run
  };
  /// Of Mean::rank: puts the next rank of a recording in the place of its scores.
  void read_rank(const std::vector<RowRun>& ranks, RankCursor& cursor, std::span<float> row) const;
  void add_to_ranks(Recording& recording, std::span<const float> wide_row);
  void spill(std::size_t number, Recording& recording);
  bool complete_if_done(std::size_t number, Recording& recording);
  /// Calls `take(row)` for each row, as it is in the journal.
  template <class Take>
  void for_each_stored(const std::vector<RowRun>& runs, Take take) const;

  const Ensemble& ensemble_;
  std::size_t row_size_;
  Journal& journal_;
  std::optional<Spool> rank_spool_;        // of Mean::rank
  mutable std::optional<RankMean> ranks_;  // likewise
  std::atomic<std::int64_t> windows_{0};
  mutable std::mutex mutex_;
  std::vector<Recording> recordings_;
};

template <class Take>
void Collector::for_each_stored(const std::vector<RowRun>& runs, Take take) const {
  std::vector<float> rows;
  for (const auto& run : runs) {
    rows.resize(static_cast<std::size_t>(run.rows) * row_size_);
    journal_.read_rows(run.position, rows);
    for (std::int64_t r = 0; r < run.rows; ++r) {
      take(std::span(rows).subspan(static_cast<std::size_t>(r) * row_size_, row_size_));
    }
  }
}

template <class Take>
void Collector::for_each(std::size_t recording, Take take) const {
  std::vector<RowRun> runs;
  std::vector<RowRun> ranks;
  {
    const std::lock_guard lock(mutex_);
    runs = recordings_[recording].runs;
    ranks = recordings_[recording].ranks;
  }
  RankCursor cursor;
  std::int64_t index = 0;
  for_each_stored(runs, [&](std::span<float> row) {
    read_rank(ranks, cursor, row);
    take(index++, std::span<const float>(row.first(ensemble_.layout.size())));
  });
}

}  // namespace whimbrel
