// Calls that may never return - of a decoder on a disk that is gone, of an engine - and what becomes of who waits for them.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "whimbrel/core.h"

namespace whimbrel {

enum class Work { decoding, inference };

/// Nobody waits for a call any more. Who made it touches nothing but what is its own, and ends its thread.
struct GivenUp {};

/// A thread that may never end is not waited for: threads_left_behind().
void leave_thread_behind();

/// Where one worker notes the call that it is in. Thread-safe.
class Desk {
 public:
  /// Makes a call that may hang; it touches only what the calling thread owns or shares.
  /// @param recordings  whom the call is about
  /// @throws GivenUp when the call returns or throws after give_up()
  template <class Call>
  auto watched(Work work, std::vector<std::size_t> recordings, Call call) {
    begin(work, std::move(recordings));
    try {
      auto result = call();
      end();
      return result;
    } catch (const GivenUp&) {
      throw;
    } catch (...) {
      end();
      throw;
    }
  }

  /// Gives up the call that the worker is in, if it is of this kind (absent: any) and began before `time`; the recordings it is
  /// about. From then on its thread is left behind.
  std::optional<std::vector<std::size_t>> give_up(std::optional<Work> work, Clock::time_point time);

  bool ended = false;  // the worker has no more to do; guarded by the run

 private:
  void begin(Work work, std::vector<std::size_t> recordings);
  void end();

  std::mutex mutex_;  // guards all below
  bool busy_ = false;
  bool given_up_ = false;
  Work work_ = Work::decoding;
  Clock::time_point since_{};
  std::vector<std::size_t> recordings_;
};

/// Makes `call` in a thread of its own and waits for it, but not longer than `grace_s` after the caller asked to stop.
/// @param call  owns or shares all that it touches
/// @throws Error{cancelled}, and what `call` throws
void call_unless_cancelled(std::function<void()> call, const std::atomic<bool>* cancel, double grace_s);

}  // namespace whimbrel
