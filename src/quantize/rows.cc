#include "quantize/rows.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <thread>

namespace whimbrel::quantize {

void check_cancelled(const QuantizeOptions& options) {
  if (options.cancel != nullptr && options.cancel->load(std::memory_order_relaxed)) {
    throw Error(ErrorCode::cancelled, "stopped as asked; nothing was written");
  }
}

void run_rows(Session& session, const WindowRows& rows, int workers,
              const std::function<void(int, std::int64_t, Runner&)>& use) {
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&](int worker) {
    try {
      const auto runner = session.make_runner();
      for (std::int64_t row = worker; row < rows.count; row += workers) {
        rows.read(row, runner->input());
        runner->run();
        use(worker, row, *runner);
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int w = 0; w < workers; ++w) threads.emplace_back(work, w);
  }
  if (failure) std::rethrow_exception(failure);
}

std::vector<std::vector<float>> outputs_of(Session& session, const WindowRows& rows, int workers) {
  std::vector<std::vector<float>> all;
  for (const auto& output : session.outputs()) {
    all.emplace_back(static_cast<std::size_t>(element_count(output.shape) * rows.count));
  }
  run_rows(session, rows, workers, [&](int, std::int64_t row, Runner& runner) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto values = runner.output(i);
      std::ranges::copy(values, all[i].begin() + row * static_cast<std::ptrdiff_t>(values.size()));
    }
  });
  return all;
}

}  // namespace whimbrel::quantize
