// Long work beside a Python thread that stays responsive: progress and log lines arrive, Ctrl-C ends it cleanly.
#pragma once

#include <nanobind/nanobind.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "whimbrel/core.h"
#include "whimbrel/pipeline.h"

namespace whimbrel::python {

/// Log lines of any thread, until a thread that holds the GIL hands them to Python's logging.
class LogQueue {
 public:
  static LogQueue& get();
  void push(LogLevel level, std::string_view message);
  /// Calls the Python function given to set_receiver() for each line. Needs the GIL.
  void deliver();
  void set_receiver(nanobind::object receiver);

 private:
  std::mutex mutex_;
  std::vector<std::pair<LogLevel, std::string>> lines_;
  nanobind::object receiver_;
};

/// What a worker tells and what it is told.
class Conversation {
 public:
  const std::atomic<bool>& cancel() const { return cancel_; }
  /// Called by workers; the Python thread sees the latest.
  void tell(const Progress& progress);

  /// Runs `work` on a thread of its own without the GIL. Meanwhile, and once at the end, this thread calls `on_progress`
  /// with the latest progress, delivers log lines and looks for signals.
  /// @throws what `work` throws; nb::python_error of a callback or a signal (KeyboardInterrupt), after `work` has ended
  void run(const std::function<void()>& work, const nanobind::object& on_progress);

 private:
  void attend(const nanobind::object& on_progress);

  std::atomic<bool> cancel_{false};
  std::mutex mutex_;  // guards the three below
  std::condition_variable news_;
  std::optional<Progress> progress_;
  bool ended_ = false;
};

}  // namespace whimbrel::python
