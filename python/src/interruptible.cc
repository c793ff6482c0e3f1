#include "interruptible.h"

#include <chrono>
#include <utility>

namespace nb = nanobind;

namespace whimbrel::python {
namespace {

constexpr auto kLookEvery = std::chrono::milliseconds(50);
constexpr std::size_t kMostLines = 10000;

const char* word_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
  }
  return "error";
}

}  // namespace

LogQueue& LogQueue::get() {
  static auto* queue = new LogQueue;  // never destroyed: engines log from threads that end with the process
  return *queue;
}

void LogQueue::push(LogLevel level, std::string_view message) {
  if (level == LogLevel::debug) return;
  const std::lock_guard lock(mutex_);
  if (lines_.size() < kMostLines) lines_.emplace_back(level, message);
}

void LogQueue::deliver() {
  std::vector<std::pair<LogLevel, std::string>> lines;
  {
    const std::lock_guard lock(mutex_);
    std::swap(lines, lines_);
  }
  if (!receiver_.is_valid() || receiver_.is_none()) return;
  for (const auto& [level, message] : lines) {
    // File names may hold bytes that are not UTF-8.
    const auto text =
        nb::steal<nb::object>(PyUnicode_DecodeUTF8(message.data(), static_cast<Py_ssize_t>(message.size()), "replace"));
    receiver_(word_of(level), text);
  }
}

void LogQueue::set_receiver(nb::object receiver) { receiver_ = std::move(receiver); }

void Conversation::tell(const Progress& progress) {
  const std::lock_guard lock(mutex_);
  progress_ = progress;
  news_.notify_one();
}

void Conversation::attend(const nb::object& on_progress) {
  std::optional<Progress> progress;
  {
    const std::lock_guard lock(mutex_);
    progress = std::exchange(progress_, std::nullopt);
  }
  LogQueue::get().deliver();
  if (progress && !on_progress.is_none()) {
    on_progress(progress->recordings_done, progress->recordings_total, progress->windows_done, progress->windows_per_s,
                progress->eta_s);
  }
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

void Conversation::run(const std::function<void()>& work, const nb::object& on_progress) {
  std::exception_ptr failure;
  std::exception_ptr interruption;
  std::thread worker([&] {
    try {
      work();
    } catch (...) {
      failure = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    ended_ = true;
    news_.notify_one();
  });
  for (bool ended = false; !ended;) {
    {
      nb::gil_scoped_release release;
      std::unique_lock lock(mutex_);
      news_.wait_for(lock, kLookEvery, [&] { return ended_ || progress_; });
      ended = ended_;
    }
    if (interruption) continue;  // asked to end, and it will
    try {
      attend(on_progress);
    } catch (...) {
      interruption = std::current_exception();
      cancel_ = true;
    }
  }
  {
    nb::gil_scoped_release release;
    worker.join();
  }
  if (interruption) std::rethrow_exception(interruption);
  if (failure) std::rethrow_exception(failure);
}

}  // namespace whimbrel::python
