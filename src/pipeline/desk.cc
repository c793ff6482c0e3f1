#include "pipeline/desk.h"

#include <chrono>
#include <future>
#include <memory>
#include <thread>

#include "whimbrel/pipeline.h"

namespace whimbrel {
namespace {

std::atomic<bool> left_behind{false};

}  // namespace

bool threads_left_behind() { return left_behind; }
void leave_thread_behind() { left_behind = true; }

void Desk::begin(Work work, std::vector<std::size_t> recordings) {
  const std::lock_guard lock(mutex_);
  busy_ = true;
  work_ = work;
  since_ = Clock::now();
  recordings_ = std::move(recordings);
}

void Desk::end() {
  const std::lock_guard lock(mutex_);
  if (given_up_) throw GivenUp();
  busy_ = false;
}

std::optional<std::vector<std::size_t>> Desk::give_up(std::optional<Work> work, Clock::time_point time) {
  const std::lock_guard lock(mutex_);
  if (!busy_ || given_up_ || (work && *work != work_) || since_ >= time) return std::nullopt;
  given_up_ = true;
  leave_thread_behind();
  return std::exchange(recordings_, {});
}

void call_unless_cancelled(std::function<void()> call, const std::atomic<bool>* cancel, double grace_s) {
  auto task = std::make_shared<std::packaged_task<void()>>(std::move(call));
  auto done = task->get_future();
  std::thread thread([task] { (*task)(); });
  std::optional<Clock::time_point> asked;
  while (done.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready) {
    if (cancel == nullptr || !cancel->load()) continue;
    const auto now = Clock::now();
    if (!asked) asked = now;
    if (seconds_between(*asked, now) < grace_s) continue;
    leave_thread_behind();
    thread.detach();
    throw Error(ErrorCode::cancelled, "stopped before the first recording; nothing was written");
  }
  thread.join();
  done.get();
}

}  // namespace whimbrel
