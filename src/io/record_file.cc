#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <type_traits>
#include <utility>

#include "io/descriptor.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

/// Before each record's bytes, little-endian.
struct Header {
  std::uint32_t kind = 0;
  std::uint32_t number = 0;
  std::int64_t bytes = 0;
  std::uint64_t checksum = 0;  // XXH3-64 of the three above and the bytes
};
static_assert(sizeof(Header) == 24 && std::is_trivially_copyable_v<Header>);
constexpr auto kHeaderBytes = static_cast<std::int64_t>(sizeof(Header));
constexpr std::int64_t kMostBytes = std::int64_t{1} << 30;  // of a record; those of runs are a thousand times smaller

std::uint64_t checksum_of(const Header& header, std::string_view bytes) {
  const std::uint64_t seed = XXH3_64bits(&header, offsetof(Header, checksum));
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

/// True if it is ours alone now. A file system without locks is taken as it is.
bool lock(const Descriptor& file, const fs::path& path) {
  while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) {
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("{}: another run writes into this folder, expected none; wait for its end or choose another --out",
                      fs::absolute(path).parent_path().string()));
    }
    break;
  }
  struct stat opened = {}, named = {};  // its owner may have removed it between our open() and its unlock
  return ::fstat(file.get(), &opened) == 0 && ::stat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino;
}

}  // namespace

struct RecordFile::Impl {
  fs::path path;  // of an unnamed one: its folder
  Descriptor file;
  bool named;
  std::atomic<bool> folder_is_synced{false};
  std::mutex mutex;  // guards the two below
  std::int64_t end = 0;
  bool cut = false;  // nothing stands beyond `end`

  Impl(fs::path at, int fd, bool has_name) : path(std::move(at)), file(fd), named(has_name) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    struct stat status = {};  // an empty one says nothing to nobody
    if (named && file.is_open() && ::fstat(file.get(), &status) == 0 && status.st_size == 0) ::unlink(path.c_str());
  }

  [[noreturn]] void fail(std::string_view what) const { throw_system_error(path, what, errno); }

  void write(std::int64_t offset, const char* bytes, std::size_t size) {
    if (!write_fully(file, offset, {bytes, size})) fail("cannot write");
  }

  std::int64_t size() const {
    struct stat status = {};
    if (::fstat(file.get(), &status) != 0) fail("cannot read");
    return status.st_size;
  }

  bool read_at(std::int64_t offset, void* bytes, std::size_t size) const {
    const auto n = read_fully(file, offset, {static_cast<char*>(bytes), size});
    if (n < 0) fail("cannot read");
    return n == static_cast<std::int64_t>(size);
  }
};

RecordFile::RecordFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RecordFile::~RecordFile() = default;
RecordFile::RecordFile(RecordFile&&) noexcept = default;

RecordFile::RecordFile(const fs::path& path) {
  do {
    // Its name is known: what lies there may be a link to a file that must stay as it is.
    impl_ = std::make_unique<Impl>(path, ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666), false);
    if (!impl_->file.is_open()) impl_->fail("cannot open");
  } while (!lock(impl_->file, path));
  impl_->named = true;  // only whose it is may take the name away
}

RecordFile RecordFile::unnamed(const fs::path& folder) {
  auto impl = std::make_unique<Impl>(folder, open_unnamed(folder), false);
  if (!impl->file.is_open()) impl->fail("cannot create the temporary file of scores");
  return RecordFile(std::move(impl));
}

void RecordFile::scan(const std::function<void(const Record&)>& take) {
  impl_->end = 0;
  impl_->cut = false;
  const auto size = impl_->size();
  std::string bytes;
  for (Header header; impl_->read_at(impl_->end, &header, sizeof header);) {
    const auto begin = impl_->end + kHeaderBytes;
    if (header.bytes < 0 || header.bytes > std::min(size - begin, kMostBytes)) break;  // before anything is allocated
    bytes.resize(static_cast<std::size_t>(header.bytes));
    if (!impl_->read_at(begin, bytes.data(), bytes.size()) || header.checksum != checksum_of(header, bytes)) break;
    take({header.kind, header.number, begin, bytes});
    impl_->end = begin + header.bytes;
  }
}

void RecordFile::clear() {
  impl_->end = 0;
  impl_->cut = false;
}

std::int64_t RecordFile::append(std::uint32_t kind, std::uint32_t number, std::string_view bytes) {
  Header header{kind, number, std::ssize(bytes)};
  header.checksum = checksum_of(header, bytes);
  const std::lock_guard guard(impl_->mutex);
  if (!impl_->cut && ::ftruncate(impl_->file.get(), static_cast<off_t>(impl_->end)) != 0) impl_->fail("cannot cut off its end");
  impl_->cut = true;
  const auto begin = impl_->end + kHeaderBytes;
  impl_->write(begin, bytes.data(), bytes.size());
  impl_->write(impl_->end, reinterpret_cast<const char*>(&header), sizeof header);  // last: until then the record is not there
  impl_->end = begin + std::ssize(bytes);
  return begin;
}

void RecordFile::read(std::int64_t position, std::span<char> bytes) const {
  if (impl_->read_at(position, bytes.data(), bytes.size())) return;
  throw Error(ErrorCode::internal, fmt::format("{}: read at {} up to {}, expected at most its {} bytes", impl_->path.string(),
                                               position, position + std::ssize(bytes), impl_->size()));
}

void RecordFile::sync() {
  whimbrel::sync(impl_->file, impl_->path);
  if (impl_->named && !impl_->folder_is_synced.exchange(true)) sync_folder_of(impl_->path);
}

void RecordFile::remove() {
  if (impl_->named) ::unlink(impl_->path.c_str());
}

}  // namespace whimbrel
