#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

#include "whimbrel/core.h"

namespace whimbrel {
namespace {

double seconds_of(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// Field 22 of /proc/self/stat, in clock ticks since boot: the kernel's own note of our exec's fork (proc(5)).
double start_after_boot_s() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  const auto name_end = line.rfind(')');  // the command's name may hold spaces
  if (name_end == std::string::npos) return -1;
  std::istringstream fields(line.substr(name_end + 2));
  std::string field;
  for (int i = 3; i <= 22; ++i) fields >> field;
  return fields ? std::stod(field) / static_cast<double>(sysconf(_SC_CLK_TCK)) : -1;
}

Clock::time_point read_process_start() {
  const auto now = Clock::now();
  const double started = start_after_boot_s();
  if (started < 0) return now;
  const double age = std::max(0.0, seconds_of(CLOCK_BOOTTIME) - started);
  return now - std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(age));
}

}  // namespace

Clock::time_point process_start() {
  static const Clock::time_point start = read_process_start();
  return start;
}

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

std::int64_t peak_rss_bytes() {
  // The mark of this program alone: getrusage's is that of the process that started it too, before it became this one.
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;) {
    if (std::int64_t kilobytes = 0; word == "VmHWM:" && file >> kilobytes) return kilobytes * 1024;
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

double process_cpu_s() { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }

double thread_cpu_s() { return seconds_of(CLOCK_THREAD_CPUTIME_ID); }

}  // namespace whimbrel
