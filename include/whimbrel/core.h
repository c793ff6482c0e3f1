// Core: errors, log sink, clock, what this CPU is and how much of it the process may use. Includes nothing else of whimbrel.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace whimbrel {

/// Sizes of a tensor's axes, outermost first; -1 is an axis that is not fixed yet.
using Shape = std::vector<std::int64_t>;

/// Product of the axes of a fixed shape (1 for a scalar).
std::int64_t element_count(const Shape& shape);

/// "[8, 3, 128, 313]"; a free axis is written "?".
std::string to_string(const Shape& shape);

enum class ErrorCode {
  invalid_argument,  // the caller's values are out of range or contradict each other
  bad_manifest,      // a manifest, labels file or model that cannot be used as described
  bad_recording,     // one recording that cannot be read; never ends a run
  not_found,         // a file or folder that is not there
  unsupported,       // known, but not possible with what is installed
  io,                // the operating system refused to read or write
  engine,            // an inference engine failed
  cancelled,         // the caller asked to stop
  internal,          // a broken promise of whimbrel itself
};

/// The spelling used in JSON: "bad_manifest".
std::string_view to_string(ErrorCode code);

/// The only exception type that the library throws on purpose. The message says where, what was found, what was expected and
/// what to do, in one line.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

enum class LogLevel { debug, info, warning, error };

/// Receives every log line of the library, one call a line, from any thread, never two at a time.
using LogSink = std::function<void(LogLevel, std::string_view)>;

/// Replaces the sink (the default one drops everything: the library never prints). Thread-safe.
void set_log_sink(LogSink sink);

/// Thread-safe. Costs a lock and a call of the sink.
void log(LogLevel level, std::string_view message);

using Clock = std::chrono::steady_clock;

/// When this process started (its exec, not main()), on the monotonic clock: what a time budget counts from.
Clock::time_point process_start();

double seconds_between(Clock::time_point from, Clock::time_point to);

/// Seconds of "2h", "1h30m", "90min", "45s", "0.5h" or "7200" (seconds); units h, m or min, s, ms, each once, largest first.
/// @throws Error{invalid_argument} for anything else, and for what is not above 0
double duration_from_string(std::string_view text);

/// Bytes of "2G", "500M", "1.5GB", "512Mi" or "1000000"; k, M, G, T are powers of 1000, Ki, Mi, Gi, Ti of 1024.
/// @throws Error{invalid_argument} for anything else, and for what is less than a byte
std::int64_t size_from_string(std::string_view text);

/// "812 MB", rounded up; "12.3 GB".
std::string size_to_string(std::int64_t bytes);

/// Memory that this process has resident now, from /proc; 0 where that cannot be read.
std::int64_t resident_bytes();

/// Most memory that this process ever had resident.
std::int64_t peak_rss_bytes();

/// CPU time of all threads of this process so far.
double process_cpu_s();

/// CPU time of the calling thread so far.
double thread_cpu_s();

/// Folders that parts of this installation lie in: of the executable, and of the library or program that holds this code.
std::vector<std::filesystem::path> own_folders();

/// Opens a part of whimbrel that is loaded on first use ("whimbrel-openvino.so") and stays loaded: from `folder`, or where that
/// is empty from beside this code, else from the build.
/// @param entry   name of its C function
/// @param accept  given that function; false: the part is not of this version
/// @return        empty when it worked, else why not: what failed, or where it was looked for
std::string open_module(const std::string& file, const std::filesystem::path& folder, const char* entry,
                        const std::function<bool(void* function)>& accept);

/// The closest of `candidates` to `word` within two edits, or "": for "did you mean".
std::string closest_word(std::string_view word, const std::vector<std::string>& candidates);

/// A file that somebody else's file names: `folder` / `named`, or nothing where that, symbolic links resolved, does not lie
/// inside `folder`. It need not be there.
std::optional<std::filesystem::path> path_inside(const std::filesystem::path& folder, const std::string& named);

/// What the CPU can do and how much of it is ours.
struct CpuInfo {
  std::string model;             // "AMD EPYC 7B13"
  std::vector<std::string> isa;  // of those that matter here, what is present: "avx2", "fma", "avx512f", "avx512_vnni", ...
  int cores_online = 1;          // of the machine
  int cores_affinity = 1;        // that the scheduler may give to this process
  double cores_quota = 0;        // CPU quota of the cgroup, in cores; 0 where there is none
  int cores_allowed = 1;         // what whimbrel uses: the smaller of the two, rounded up, at least 1
  std::string integer_path;      // best integer kernels: "amx_int8" | "avx512_vnni" | "avx_vnni" | "avx512bw" | "avx2" | "none"
  std::string precision_hint;    // which precision to expect to win here and why, one sentence
};

/// Reads CPUID, the affinity mask and the cgroup's quota (v2, then v1) anew at each call.
CpuInfo cpu_info();

}  // namespace whimbrel
