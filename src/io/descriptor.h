// A POSIX file descriptor that closes itself, and what to say when the system refuses.
#pragma once

#include <cstddef>
#include <cstdint>
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

/// A file without a name in `folder`, for reading and writing; -1 with errno where there can be none.
int open_unnamed(const std::filesystem::path& folder);

/// All of them, however often the system is interrupted. False with errno when it refuses.
bool write_fully(const Descriptor& file, std::int64_t offset, std::span<const char> bytes);
/// Returns the bytes read: fewer than asked for where the file ends; -1 with errno when the system refuses.
std::int64_t read_fully(const Descriptor& file, std::int64_t offset, std::span<char> bytes);

/// Waits until a file's bytes are on disk. Some file systems cannot and say EINVAL; there is nothing more that could be done.
/// @throws Error{io} naming `path`
void sync(const Descriptor& file, const std::filesystem::path& path);
/// Waits until the names in a file's folder are on disk. A folder that may be written but not read cannot be synced.
/// @throws Error{io}
void sync_folder_of(const std::filesystem::path& path);

/// Opens a file or folder for reading. @throws Error{not_found}, Error{io}
int open_for_reading(const std::filesystem::path& path);

/// Reads until `bytes` are full or the file ends. Returns the bytes read. @throws Error{io} naming `path`
std::size_t read_fully(const Descriptor& file, std::span<char> bytes, const std::filesystem::path& path);

}  // namespace whimbrel
