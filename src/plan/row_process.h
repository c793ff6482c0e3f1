// A process of its own for one row of a bench, and talking with it.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <filesystem>
#include <string>

#include "whimbrel/core.h"

namespace whimbrel::plan {

/// `<program> bench-row`, which answers each line with a line. The destructor ends it.
class RowProcess {
 public:
  /// @throws Error{io}
  RowProcess(const std::filesystem::path& program, const std::atomic<bool>* cancel);
  ~RowProcess();
  RowProcess(const RowProcess&) = delete;
  RowProcess& operator=(const RowProcess&) = delete;

  Clock::time_point started() const { return started_; }
  pid_t id() const { return id_; }

  /// @throws Error{engine} when it died (says how) or does not answer, Error{cancelled}
  std::string ask(std::string line);

 private:
  [[noreturn]] void report_end();

  const std::atomic<bool>* cancel_;
  int socket_ = -1;
  pid_t id_ = -1;
  Clock::time_point started_;
  std::string received_;
};

}  // namespace whimbrel::plan
