#include "pipeline/memory.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <barrier>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

namespace whimbrel {
namespace {

using Runners = std::vector<std::unique_ptr<Runner>>;

constexpr auto kRemedy = "fewer or smaller models, or a smaller --batch";
constexpr std::int64_t kDecoder_bytes = 8'000'000;  // of one open recording: its decoder, resampler and read buffers
constexpr auto kLookEvery = std::chrono::milliseconds(200);
constexpr auto kPatience = std::chrono::seconds(2);

std::int64_t resident_at_least() {
  malloc_trim(0);
  return resident_bytes();
}

Runners make_runners(const Ensemble& ensemble) {
  Runners runners;
  for (const auto& member : ensemble.members) {
    if (!member.session) continue;
    runners.push_back(member.session->make_runner());
    const auto input = runners.back()->input();
    std::ranges::copy(probe_input(std::ssize(input)), input.begin());
  }
  return runners;
}

/// Runs each member in as many threads at the same time: engines keep what the most runs at a time have needed.
void run_together(const std::vector<const Runners*>& workers) {
  std::barrier together(std::ssize(workers));
  std::vector<std::exception_ptr> failures(workers.size());
  {
    std::vector<std::jthread> threads;
    for (std::size_t w = 0; w < workers.size(); ++w) {
      threads.emplace_back([&, w] {
        try {
          for (const auto& runner : *workers[w]) {
            together.arrive_and_wait();
            runner->run();
          }
        } catch (...) {
          failures[w] = std::current_exception();
          together.arrive_and_drop();
        }
      });
    }
  }
  for (const auto& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

/// Windows that a worker has read and that wait for their batch, and the decoder that they come from.
std::int64_t reading_bytes(const Ensemble& ensemble) {
  std::int64_t bytes = kDecoder_bytes;
  for (const auto& member : ensemble.members) {
    if (member.session) bytes += 2 * element_count(member.session->input().shape) * std::int64_t{sizeof(float)};
  }
  return bytes;
}

struct Footprint {
  std::int64_t one = 0;   // the whole process with one worker
  std::int64_t more = 0;  // for each further one
};

Footprint measure(const Ensemble& ensemble, int workers) {
  Footprint footprint;
  const auto first = make_runners(ensemble);
  run_together({&first});
  footprint.one = resident_at_least() + reading_bytes(ensemble);
  if (workers == 1) return footprint;
  const auto second = make_runners(ensemble);
  for (int i = 0; i < 2; ++i) run_together({&first, &second});
  const auto two = resident_at_least() + 2 * reading_bytes(ensemble);
  footprint.more = std::max(two - footprint.one, reading_bytes(ensemble));
  return footprint;
}

}  // namespace

void check_memory(std::int64_t limit_bytes, const std::string& when) {
  if (limit_bytes == 0 || resident_bytes() <= limit_bytes) return;
  const auto resident = resident_at_least();
  if (resident <= limit_bytes) return;
  throw Error(ErrorCode::invalid_argument, fmt::format("--max-memory is {}: the process holds {} {}; {}",
                                                       size_to_string(limit_bytes), size_to_string(resident), when, kRemedy));
}

int workers_that_fit(const Ensemble& ensemble, std::int64_t limit_bytes, int workers) {
  const auto footprint = measure(ensemble, workers);
  malloc_trim(0);
  const auto left = limit_bytes - footprint.one;
  if (left < 0) {
    throw Error(ErrorCode::invalid_argument, fmt::format("--max-memory is {}: the run needs about {} with one worker; {}",
                                                         size_to_string(limit_bytes), size_to_string(footprint.one), kRemedy));
  }
  if (workers == 1) return 1;
  const auto fit = static_cast<int>(std::min<std::int64_t>(workers, 1 + left / footprint.more));
  if (fit < workers) {
    log(LogLevel::info,
        fmt::format("{} of {} workers fit in --max-memory of {}: the first needs {}, each further one about {}", fit, workers,
                    size_to_string(limit_bytes), size_to_string(footprint.one), size_to_string(footprint.more)));
  }
  return fit;
}

MemoryGuard::Verdict MemoryGuard::look(Clock::time_point now) {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock || now < next_look_) return Verdict::go_on;
  next_look_ = now + kLookEvery;
  auto resident = resident_();
  if (resident > limit_bytes_) {
    malloc_trim(0);
    resident = resident_();
  }
  if (resident <= limit_bytes_) {
    above_since_.reset();
    return Verdict::go_on;
  }
  const auto words =
      fmt::format("the process holds {}, --max-memory is {}", size_to_string(resident), size_to_string(limit_bytes_));
  if (workers_ > 1) {
    --workers_;
    if (!std::exchange(has_warned_, true)) {
      log(LogLevel::warning, fmt::format("{}; going on with {} worker{}, or fewer", words, workers_, workers_ == 1 ? "" : "s"));
    }
    return Verdict::leave;
  }
  if (!above_since_) above_since_ = now;
  if (now - *above_since_ < kPatience) return Verdict::go_on;
  if (reason_.empty()) {
    reason_ = fmt::format("{}, also with one worker; {}", words, kRemedy);
    log(LogLevel::error, "stopping: " + reason_);
  }
  return Verdict::stop;
}

int MemoryGuard::workers() const {
  const std::lock_guard lock(mutex_);
  return workers_;
}

std::string MemoryGuard::reason() const {
  const std::lock_guard lock(mutex_);
  return reason_;
}

}  // namespace whimbrel
