#include "pipeline/scheduler.h"

#include <utility>

#include "pipeline/source.h"

namespace whimbrel {

Scheduler::Scheduler(std::size_t recordings, const std::vector<MemberQueue>& members, std::size_t most_open)
    : recordings_(recordings), most_open_(most_open) {
  for (const auto& settings : members) queues_.push_back({settings, {}});
}

Scheduler::~Scheduler() = default;

Scheduler::Task Scheduler::next() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (stopped_) return Stop{};
    if (full_.empty() && open_ == 0 && next_recording_ == recordings_) flush_at_end();
    if (!full_.empty()) {
      Infer task = std::move(full_.front());
      full_.pop_front();
      ++busy_;
      return task;
    }
    if (!idle_.empty()) {
      Produce task{std::move(idle_.begin()->second)};
      idle_.erase(idle_.begin());
      ++busy_;
      return task;
    }
    if (next_recording_ < recordings_ && open_ < most_open_) {
      ++open_;
      ++busy_;
      return Open{next_recording_++};
    }
    if (busy_ == 0) return Stop{};
    changed_.wait(lock);
  }
}

void Scheduler::produced(std::size_t recording, const std::vector<WindowPtr>& windows,
                         std::unique_ptr<RecordingSource> source) {
  const std::lock_guard lock(mutex_);
  for (const auto& window : windows) {
    for (std::size_t m = 0; m < queues_.size(); ++m) {
      if (!queues_[m].settings.gated && window->scored_by(m)) add(m, window);
    }
  }
  if (source) {
    idle_.emplace(recording, std::move(source));
  } else {
    --open_;
    for (auto& queue : queues_) {
      if (queue.settings.mix_recordings) continue;
      if (auto rest = queue.filling.extract(recording); !rest.empty()) {
        full_.push_back({static_cast<std::size_t>(&queue - queues_.data()), std::move(rest.mapped())});
      }
    }
  }
  --busy_;
  changed_.notify_all();
}

void Scheduler::admit(const std::vector<WindowPtr>& windows) {
  const std::lock_guard lock(mutex_);
  for (const auto& window : windows) {
    for (std::size_t m = 0; m < queues_.size(); ++m) {
      if (queues_[m].settings.gated && window->scored_by(m)) add(m, window);
    }
  }
  changed_.notify_all();
}

void Scheduler::flush(std::size_t member) {
  const std::lock_guard lock(mutex_);
  flush_queue(member);
  changed_.notify_all();
}

void Scheduler::inferred() {
  const std::lock_guard lock(mutex_);
  --busy_;
  if (busy_ == 0) changed_.notify_all();
}

void Scheduler::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

void Scheduler::add(std::size_t member, const WindowPtr& window) {
  auto& queue = queues_[member];
  auto& filling = queue.filling[queue.settings.mix_recordings ? 0 : window->recording];
  filling.push_back(window);
  if (filling.size() == static_cast<std::size_t>(queue.settings.batch)) full_.push_back({member, std::exchange(filling, {})});
}

/// A gate that still runs may let more through.
void Scheduler::flush_at_end() {
  for (std::size_t m = 0; m < queues_.size(); ++m) {
    if (!queues_[m].settings.gated) flush_queue(m);
  }
  if (!full_.empty() || busy_ > 0) return;
  for (std::size_t m = 0; m < queues_.size(); ++m) flush_queue(m);
}

void Scheduler::flush_queue(std::size_t member) {
  for (auto& [recording, windows] : queues_[member].filling) {
    if (!windows.empty()) full_.push_back({member, std::move(windows)});
  }
  queues_[member].filling.clear();
}

}  // namespace whimbrel
