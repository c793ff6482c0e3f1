#include "io/descriptor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
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
