#include "pipeline/collector.h"

#include <algorithm>
#include <utility>

namespace whimbrel {
namespace {

/// A recording's scores go to the spool in pieces of about this size: large enough for few writes, small beside a model.
constexpr std::size_t kBufferedFloats = std::size_t{1} << 16;

}  // namespace

Collector::Collector(const Ensemble& ensemble, std::size_t recordings, const std::filesystem::path& out_dir)
    : ensemble_(ensemble), classes_(ensemble.labels.size()), spool_(out_dir), recordings_(recordings) {}

bool Collector::add(std::size_t member, std::size_t recording, std::int64_t index, std::vector<float> probabilities) {
  const std::lock_guard lock(mutex_);
  auto& r = recordings_[recording];
  if (r.status != Status::under_way) return false;
  auto& window = r.pending[index];
  if (window.rows.empty()) {
    window.rows.resize(ensemble_.members.size());
    window.missing = window.rows.size();
  }
  window.rows[member] = std::move(probabilities);
  --window.missing;
  combine_ready(r);
  return complete_if_done(r);
}

bool Collector::set_window_count(std::size_t recording, std::int64_t windows) {
  const std::lock_guard lock(mutex_);
  auto& r = recordings_[recording];
  r.windows = windows;
  return complete_if_done(r);
}

void Collector::abandon(std::size_t recording, std::string reason) {
  const std::lock_guard lock(mutex_);
  auto& r = recordings_[recording];
  if (r.status != Status::under_way) return;
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

void Collector::combine_ready(Recording& recording) {
  while (!recording.pending.empty()) {
    const auto first = recording.pending.begin();
    if (first->first != recording.next_index || first->second.missing > 0) return;
    const std::size_t end = recording.buffer.size();
    recording.buffer.resize(end + classes_);
    ensemble_.combine(first->second.rows, std::span(recording.buffer).subspan(end));
    recording.pending.erase(first);
    ++recording.next_index;
    if (recording.buffer.size() >= kBufferedFloats) spill(recording);
  }
}

void Collector::spill(Recording& recording) {
  if (recording.buffer.empty()) return;
  const auto rows = static_cast<std::int64_t>(recording.buffer.size() / classes_);
  recording.runs.push_back({spool_.append(recording.buffer), rows});
  recording.buffer.clear();
}

bool Collector::complete_if_done(Recording& recording) {
  if (recording.status != Status::under_way || recording.next_index != recording.windows) return false;
  spill(recording);
  recording.buffer.shrink_to_fit();
  recording.status = Status::complete;
  return true;
}

}  // namespace whimbrel
