#include "io/descriptor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>
#include <utility>

namespace whimbrel {
namespace {

std::string_view remedy(int code) {
  switch (code) {
    case ENOSPC:
    case EDQUOT:
      return "; free some space or choose another folder";
    case EFBIG:
      return "; raise the limit of a file's size (ulimit -f) or choose another file system";
    case ENAMETOOLONG:
      return "; shorten the name";
    case EACCES:
    case EPERM:
    case EROFS:
      return "; check its permissions or choose another place";
    case ENOTDIR:
      return "; part of the path is a file, expected a folder";
    case EISDIR:
      return "; expected a file";
    case EMFILE:
      return "; raise the limit of open files (ulimit -n)";
    default:
      return "";
  }
}

}  // namespace

void throw_system_error(const std::filesystem::path& path, std::string_view what, int code, ErrorCode kind) {
  throw Error(kind, fmt::format("{}: {}: {}{}", path.string(), what, std::generic_category().message(code), remedy(code)));
}

Descriptor::~Descriptor() { close(); }

int Descriptor::close() {
  if (fd_ < 0) return 0;
  // Linux releases the descriptor even when close() is interrupted: never a second try.
  return ::close(std::exchange(fd_, -1)) == 0 || errno == EINTR ? 0 : errno;
}

/// O_TMPFILE where the file system has it, otherwise a file whose name is taken away at once.
int open_unnamed(const std::filesystem::path& folder) {
  const int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) return fd;
  std::string name = (folder / ".whimbrel-spool-XXXXXX").string();
  const int named = ::mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) ::unlink(name.c_str());
  return named;
}

bool write_fully(const Descriptor& file, std::int64_t offset, std::span<const char> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += n;
  }
  return true;
}

std::int64_t read_fully(const Descriptor& file, std::int64_t offset, std::span<char> bytes) {
  std::int64_t done = 0;
  while (!bytes.empty()) {
    const ssize_t n = ::pread(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) break;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    done += n;
  }
  return done;
}

void sync(const Descriptor& file, const std::filesystem::path& path) {
  if (::fsync(file.get()) != 0 && errno != EINVAL) throw_system_error(path, "cannot write to disk", errno);
}

void sync_folder_of(const std::filesystem::path& path) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.is_open()) sync(opened, folder);
}

int open_for_reading(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0) return fd;
  const int code = errno;
  throw_system_error(path, "cannot open", code, code == ENOENT || code == ENOTDIR ? ErrorCode::not_found : ErrorCode::io);
}

std::size_t read_fully(const Descriptor& file, std::span<char> bytes, const std::filesystem::path& path) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::read(file.get(), bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_system_error(path, "cannot read", errno);
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

}  // namespace whimbrel
