// Who does what next. Every worker asks for its next task and does it to the end; no thread is bound to a stage, so no core
// idles while there is work of any kind, and no more threads run than cores.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <variant>
#include <vector>

namespace whimbrel {

/// Which members score a window.
using MemberSet = std::vector<bool>;

/// One window of one recording and what each distinct front end made of it.
struct Window {
  std::size_t recording = 0;
  std::int64_t index = 0;
  std::vector<std::vector<float>> features;  // empty where no member of the set asks for it
  std::shared_ptr<const MemberSet> members;  // null: all

  bool scored_by(std::size_t member) const { return !members || (*members)[member]; }
};
using WindowPtr = std::shared_ptr<const Window>;

class RecordingSource;

/// Deals out three kinds of work, in this order: run a member on a full batch; read on in an open recording (the earliest
/// first); open the next one. Full batches come first, so finished windows never pile up: at any time there are at most a
/// worker's production beyond one batch per member and worker. Batches that stay unfilled are dealt out when no more windows
/// can come. Thread-safe.
class Scheduler {
 public:
  struct Stop {};
  struct Open {
    std::size_t recording;
  };
  struct Produce {
    std::unique_ptr<RecordingSource> source;
  };
  struct Infer {
    std::size_t member;
    std::vector<WindowPtr> windows;  // at most the member's batch
  };
  using Task = std::variant<Stop, Open, Produce, Infer>;

  struct MemberQueue {
    int batch = 1;
    /// Rows of one batch influence each other's last bits: batches then hold one recording only and start at its first window,
    /// so that the same windows meet for any number of workers.
    bool mix_recordings = true;
    bool gated = false;  // gets only what admit() lets through
  };

  /// @param most_open  recordings open at the same time
  Scheduler(std::size_t recordings, const std::vector<MemberQueue>& members, std::size_t most_open);
  ~Scheduler();

  /// Blocks until there is something to do; Stop once everything is done or stop() was called.
  Task next();

  /// After Open or Produce: new windows, and the source if it has more (null: this recording has ended).
  void produced(std::size_t recording, const std::vector<WindowPtr>& windows, std::unique_ptr<RecordingSource> source);

  /// Hands windows to the gated members; by the worker that has run the gate on them, before its inferred().
  void admit(const std::vector<WindowPtr>& windows);

  /// After Infer.
  void inferred();

  /// What waits for a member's batch to fill is dealt out as it is: no more windows come to that member for now.
  void flush(std::size_t member);

  /// No more tasks are dealt out; what is under way ends.
  void stop();

 private:
  void add(std::size_t member, const WindowPtr& window);
  void flush_queue(std::size_t member);
  void flush_at_end();

  struct Queue {
    MemberQueue settings;
    std::map<std::size_t, std::vector<WindowPtr>> filling;  // by recording, or all under 0
  };

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Queue> queues_;
  std::deque<Infer> full_;
  std::map<std::size_t, std::unique_ptr<RecordingSource>> idle_;  // by recording
  std::size_t recordings_;
  std::size_t next_recording_ = 0;
  std::size_t most_open_;
  std::size_t open_ = 0;  // idle or being read
  std::size_t busy_ = 0;  // tasks under way
  bool stopped_ = false;
};

}  // namespace whimbrel
