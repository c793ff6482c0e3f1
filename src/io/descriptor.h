// A POSIX file descriptor that closes itself, and what to say when the system refuses.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "whimbrel/core.h"

namespace whimbrel {

/// Throws "<path>: <what>: <the system's reason>; <what to do>".
/// @param code  an errno
[[noreturn]] void throw_system_error(const std::filesystem::path& path, std::string_view what, int code,
                                     ErrorCode kind = ErrorCode::io);

/// Owns an open file. Not copyable.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  /// Closes now; the errno of a close that failed (a network file system may only tell then that a write was lost), or 0.
  int close();

 private:
  int fd_ = -1;
};

/// Opens a file or folder for reading. @throws Error{not_found}, Error{io}
int open_for_reading(const std::filesystem::path& path);

/// Reads until `bytes` are full or the file ends. Returns the bytes read. @throws Error{io} naming `path`
std::size_t read_fully(const Descriptor& file, std::span<char> bytes, const std::filesystem::path& path);

}  // namespace whimbrel
