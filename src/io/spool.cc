#include <fmt/format.h>

#include <atomic>
#include <cerrno>

#include "io/descriptor.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

/// As where they are kept: little-endian, which files.cc asserts.
std::span<char> chars_of(std::span<float> values) {
  return {reinterpret_cast<char*>(values.data()), values.size() * sizeof(float)};
}
std::span<const char> chars_of(std::span<const float> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

std::int64_t offset_of(std::int64_t position) { return position * static_cast<std::int64_t>(sizeof(float)); }

}  // namespace

struct Spool::Impl {
  std::filesystem::path folder;
  Descriptor file;
  std::atomic<std::int64_t> end{0};  // in floats

  explicit Impl(const std::filesystem::path& in) : folder(in), file(open_unnamed(in)) {
    if (!file.is_open()) fail("create");
  }

  [[noreturn]] void fail(std::string_view what) const {
    const int code = errno;  // before format() may touch it
    throw_system_error(folder, fmt::format("cannot {} the temporary file of scores", what), code);
  }
};

Spool::Spool(const std::filesystem::path& folder) : impl_(std::make_unique<Impl>(folder)) {}
Spool::~Spool() = default;

std::int64_t Spool::append(std::span<const float> values) {
  const std::int64_t position = impl_->end.fetch_add(static_cast<std::int64_t>(values.size()));
  if (!write_fully(impl_->file, offset_of(position), chars_of(values))) impl_->fail("write");
  return position;
}

void Spool::read(std::int64_t position, std::span<float> values) const {
  const auto bytes = chars_of(values);
  const auto n = read_fully(impl_->file, offset_of(position), bytes);
  if (n < 0) impl_->fail("read");
  if (n == std::ssize(bytes)) return;
  throw Error(ErrorCode::internal,
              fmt::format("spool in {}: read at {} up to {}, expected at most the {} floats appended", impl_->folder.string(),
                          position, position + std::ssize(values), impl_->end.load()));
}

}  // namespace whimbrel
