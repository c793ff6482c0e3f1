#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "io/descriptor.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

/// O_TMPFILE where the file system has it, otherwise a file whose name is taken away at once.
int open_unnamed(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) return fd;
  std::string name = (folder / ".whimbrel-spool-XXXXXX").string();
  const int named = ::mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) ::unlink(name.c_str());
  return named;
}

}  // namespace

struct Spool::Impl {
  fs::path folder;
  Descriptor file;
  std::atomic<std::int64_t> end{0};  // in floats

  explicit Impl(const fs::path& in) : folder(in), file(open_unnamed(in)) {
    if (!file.is_open()) fail("create");
  }

  [[noreturn]] void fail(std::string_view what) const {
    const int code = errno;  // before format() may touch it
    throw_system_error(folder, fmt::format("cannot {} the temporary file of scores", what), code);
  }
};

Spool::Spool(const fs::path& folder) : impl_(std::make_unique<Impl>(folder)) {}
Spool::~Spool() = default;

std::int64_t Spool::append(std::span<const float> values) {
  const std::int64_t position = impl_->end.fetch_add(static_cast<std::int64_t>(values.size()));
  auto bytes = std::as_bytes(values);
  auto offset = static_cast<off_t>(position) * static_cast<off_t>(sizeof(float));
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(impl_->file.get(), bytes.data(), bytes.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) impl_->fail("write");
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += n;
  }
  return position;
}

void Spool::read(std::int64_t position, std::span<float> values) const {
  auto bytes = std::as_writable_bytes(values);
  auto offset = static_cast<off_t>(position) * static_cast<off_t>(sizeof(float));
  while (!bytes.empty()) {
    const ssize_t n = ::pread(impl_->file.get(), bytes.data(), bytes.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) impl_->fail("read");
    if (n == 0) {
      throw Error(ErrorCode::internal, fmt::format("spool in {}: read at {} up to {}, expected at most the {} floats appended",
                                                   impl_->folder.string(), position,
                                                   position + static_cast<std::int64_t>(values.size()), impl_->end.load()));
    }
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += n;
  }
}

}  // namespace whimbrel
