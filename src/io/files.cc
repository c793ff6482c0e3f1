#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <system_error>
#include <utility>

#include "io/descriptor.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little,
              "floats are written as they lie in memory, and all formats say little-endian");

constexpr std::size_t kBufferBytes = std::size_t{1} << 18;

void write_all(int fd, std::string_view bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_system_error(path, "cannot write", errno);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

/// A folder in the file's place would only be noticed at the rename, hours later. @throws Error{io}
Descriptor create(const fs::path& path, const fs::path& temporary) {
  std::error_code error;
  if (!path.has_filename() || fs::is_directory(path, error)) throw_system_error(path, "cannot create a file", EISDIR);
  fs::create_directories(folder_of(path), error);
  if (error) throw_system_error(folder_of(path), "cannot create this folder", error.value());
  // What is left there of a killed run goes; a link that somebody laid there must not be followed.
  ::unlink(temporary.c_str());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) throw_system_error(temporary, "cannot create", errno);
  return Descriptor(fd);
}

}  // namespace

struct AtomicFile::Impl {
  const fs::path path, temporary;
  Descriptor file;
  std::string buffer;
  std::int64_t size = 0;

  explicit Impl(fs::path target) : path(std::move(target)), temporary(path.string() + ".tmp"), file(create(path, temporary)) {
    buffer.reserve(kBufferBytes);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    if (file.is_open()) ::unlink(temporary.c_str());
  }

  void append(std::string_view bytes) {
    require_open();
    if (buffer.size() + bytes.size() > kBufferBytes) flush();
    if (bytes.size() > kBufferBytes) {
      write_all(file.get(), bytes, temporary);
    } else {
      buffer += bytes;
    }
    size += static_cast<std::int64_t>(bytes.size());
  }

  void flush() {
    write_all(file.get(), buffer, temporary);
    buffer.clear();
  }

  void commit() {
    require_open();
    flush();
    sync(file, temporary);
    if (const int code = file.close(); code != 0) give_up(temporary, "cannot close", code);
    if (::rename(temporary.c_str(), path.c_str()) != 0) give_up(path, "cannot rename to this name", errno);
    sync_folder_of(path);  // the rename is only durable when the folder that holds the name is on disk too
  }

  void require_open() const {
    if (!file.is_open())
      throw Error(ErrorCode::internal, fmt::format("{}: used after commit(), expected nothing more", path.string()));
  }

  [[noreturn]] void give_up(const fs::path& where, std::string_view what, int code) const {
    ::unlink(temporary.c_str());
    throw_system_error(where, what, code);
  }
};

AtomicFile::AtomicFile(fs::path path) : impl_(std::make_unique<Impl>(std::move(path))) {}
AtomicFile::~AtomicFile() = default;
AtomicFile::AtomicFile(AtomicFile&&) noexcept = default;
AtomicFile& AtomicFile::operator=(AtomicFile&&) noexcept = default;

void AtomicFile::write(std::string_view bytes) { impl_->append(bytes); }

void AtomicFile::write(std::span<const float> values) {
  const auto bytes = std::as_bytes(values);
  impl_->append({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::int64_t AtomicFile::size() const { return impl_->size; }

void AtomicFile::commit() { impl_->commit(); }

std::string read_file(const fs::path& path, std::int64_t max_bytes) {
  const Descriptor file(open_for_reading(path));
  struct stat status = {};
  if (::fstat(file.get(), &status) != 0) throw_system_error(path, "cannot read", errno);
  const auto too_large = [&](std::int64_t bytes) {
    return Error(ErrorCode::invalid_argument,
                 fmt::format("{}: {} bytes and more, expected at most {}", path.string(), bytes, max_bytes));
  };
  if (status.st_size > max_bytes) throw too_large(status.st_size);
  // Pipes and /proc say 0 and hold more: the end is where reading ends.
  std::string text;
  std::size_t size = 0;
  for (auto room = static_cast<std::size_t>(status.st_size) + 1;; room = std::max(kBufferBytes, size)) {
    text.resize(size + room);
    const std::size_t n = read_fully(file, std::span(text).subspan(size), path);
    size += n;
    if (size > static_cast<std::size_t>(max_bytes)) throw too_large(static_cast<std::int64_t>(size));
    if (n < room) break;
  }
  text.resize(size);
  return text;
}

}  // namespace whimbrel
