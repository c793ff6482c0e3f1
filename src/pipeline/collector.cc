#include "pipeline/collector.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace whimbrel {
namespace {

/// A recording's scores go to the journal in pieces of about this size: large enough for few writes, small beside a model.
constexpr std::size_t kBufferedFloats = std::size_t{1} << 16;

}  // namespace

Collector::Collector(const Ensemble& ensemble, std::size_t recordings, Journal& journal,
                     const std::filesystem::path& temporaries)
    : ensemble_(ensemble), row_size_(row_size(ensemble)), journal_(journal), recordings_(recordings) {
  if (ensemble.mean != Mean::rank) return;
  rank_spool_.emplace(temporaries);
  ranks_.emplace(*rank_spool_, ensemble.members.size(), ensemble.layout.classes, ensemble.weights());
}

std::size_t Collector::row_size(const Ensemble& ensemble) {
  return ensemble.layout.size() + (ensemble.mean == Mean::rank ? ensemble.members.size() * ensemble.layout.classes : 0);
}

void Collector::restore(std::size_t recording, const std::vector<RowRun>& runs) {
  const std::lock_guard lock(mutex_);
  auto& r = recordings_[recording];
  r.runs = runs;
  for (const auto& run : runs) r.next_index += run.rows;
  r.windows = r.next_index;
  r.status = Status::complete;
  if (ranks_) {
    for_each_stored(runs, [&](std::span<const float> row) { add_to_ranks(r, row.subspan(ensemble_.layout.size())); });
  }
}

std::size_t Collector::count_expected(const Window& window, bool gated) const {
  std::size_t count = 0;
  for (std::size_t m = 0; m < ensemble_.members.size(); ++m) {
    if (ensemble_.gated(m) == gated && window.scored_by(m)) ++count;
  }
  return count;
}

bool Collector::add(std::size_t member, const Window& window, std::vector<float> row, bool admitted) {
  const std::lock_guard lock(mutex_);
  auto& r = recordings_[window.recording];
  if (r.status != Status::under_way) return false;
  auto& pending = r.pending[window.index];
  if (pending.rows.empty()) {
    pending.rows.resize(ensemble_.members.size());
    pending.missing = count_expected(window, false);
  }
  if (admitted) pending.missing += count_expected(window, true);
  pending.rows[member] = std::move(row);
  --pending.missing;
  for (auto first = r.pending.begin(); first != r.pending.end() && first->first == r.next_index && first->second.missing == 0;
       first = r.pending.erase(first)) {
    combine(window.recording, r, first->second);
  }
  return complete_if_done(window.recording, r);
}

bool Collector::set_window_count(std::size_t recording, std::int64_t windows) {
  const std::lock_guard lock(mutex_);
  auto& r = recordings_[recording];
  r.windows = windows;
  return complete_if_done(recording, r);
}

void Collector::abandon(std::size_t recording, std::string reason) {
  const std::lock_guard lock(mutex_);
  auto& r = recordings_[recording];
  if (r.status != Status::under_way) return;
  if (ranks_) {
    for (const auto& run : r.ranks) ranks_->exclude(run.position, run.rows);
  }
  r = {};
  r.status = Status::abandoned;
  r.reason = std::move(reason);
}

Collector::Status Collector::status(std::size_t recording) const {
  const std::lock_guard lock(mutex_);
  return recordings_[recording].status;
}

std::string Collector::reason(std::size_t recording) const {
  const std::lock_guard lock(mutex_);
  return recordings_[recording].reason;
}

void Collector::close(std::size_t recording) {
  const std::lock_guard lock(mutex_);
  auto& r = recordings_[recording];
  if (r.status != Status::under_way) return;
  for (const auto& [index, pending] : r.pending) {
    if (index != r.next_index || !ensemble_.has_all_parts(pending.rows)) break;
    combine(recording, r, pending);
  }
  r.pending.clear();
  r.windows = r.next_index;
  complete_if_done(recording, r);
}

void Collector::forget(std::size_t recording) {
  const std::lock_guard lock(mutex_);
  recordings_[recording].runs = {};
  recordings_[recording].ranks = {};
}

std::int64_t Collector::windows_of(std::size_t recording) const {
  const std::lock_guard lock(mutex_);
  return recordings_[recording].next_index;
}

void Collector::finish_ranks() {
  if (ranks_) ranks_->finish();
}

void Collector::read_rank(const std::vector<RowRun>& ranks, RankCursor& cursor, std::span<float> row) const {
  if (!ranks_) return;
  const auto& run = ranks.at(cursor.run);
  ranks_->read(run.position + cursor.row, 1, row.first(ensemble_.layout.classes));
  if (++cursor.row == run.rows) cursor = {cursor.run + 1, 0};
}

void Collector::add_to_ranks(Recording& recording, std::span<const float> wide_row) {
  if (!ranks_) return;
  const auto number = ranks_->add(wide_row);
  auto& runs = recording.ranks;
  if (!runs.empty() && runs.back().position + runs.back().rows == number) {
    ++runs.back().rows;
  } else {
    runs.push_back({number, 1});
  }
}

void Collector::combine(std::size_t number, Recording& recording, const PendingWindow& window) {
  const std::size_t end = recording.buffer.size();
  recording.buffer.resize(end + row_size_);
  const auto row = std::span(recording.buffer).subspan(end);
  ensemble_.combine(window.rows, row.first(ensemble_.layout.size()));
  if (ranks_) {
    const auto wide = row.subspan(ensemble_.layout.size());
    const std::size_t classes = ensemble_.layout.classes;
    std::ranges::fill(wide, std::numeric_limits<float>::quiet_NaN());
    for (std::size_t m = 0; m < window.rows.size(); ++m) {
      if (!window.rows[m].empty())
        std::ranges::copy(std::span(window.rows[m]).first(classes), wide.subspan(m * classes).begin());
    }
    add_to_ranks(recording, wide);
  }
  ++recording.next_index;
  windows_.fetch_add(1, std::memory_order_relaxed);
  if (recording.buffer.size() >= kBufferedFloats) spill(number, recording);
}

void Collector::spill(std::size_t number, Recording& recording) {
  if (recording.buffer.empty()) return;
  const auto rows = static_cast<std::int64_t>(recording.buffer.size() / row_size_);
  recording.runs.push_back({journal_.append_rows(number, recording.buffer), rows});
  recording.buffer.clear();
}

bool Collector::complete_if_done(std::size_t number, Recording& recording) {
  if (recording.status != Status::under_way || recording.next_index != recording.windows) return false;
  spill(number, recording);
  recording.buffer.shrink_to_fit();
  recording.status = Status::complete;
  return true;
}

}  // namespace whimbrel
