#include "audio/riff_data.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace whimbrel::audio {
namespace {

constexpr int kMostChunks = 1000;  // real files have ten
constexpr std::int64_t kMostFormat = 1024;
constexpr std::int64_t kFourGiB = std::int64_t{1} << 32;
constexpr std::int64_t kUnknownFrom = 0x7ffff000;
constexpr std::uint64_t kUnknown64 = ~std::uint64_t{0};

/// Little-endian.
std::uint64_t number(const unsigned char* bytes, int size) {
  std::uint64_t value = 0;
  for (int i = size; i-- > 0;) value = value << 8 | bytes[i];
  return value;
}

void append_number(std::string& out, std::uint64_t value, int size) {
  for (int i = 0; i < size; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
}

struct Header {
  std::int64_t file_bytes = 0;
  std::int64_t riff_bytes = 0;      // of the first 8 bytes' claim
  bool is_riff = false;             // not RF64 or BW64
  std::uint64_t data_bytes_64 = 0;  // of ds64
};

/// What the size in the data chunk's head means.
void settle_claim(const Header& header, std::int64_t size, RiffData& data) {
  data.claimed_bytes = size;
  if (!header.is_riff && size == kFourGiB - 1) {
    const bool known = header.data_bytes_64 != 0 && header.data_bytes_64 < kUnknown64 / 2;
    data.beyond_32_bits = !known;
    data.claimed_bytes = known ? static_cast<std::int64_t>(header.data_bytes_64) : data.present_bytes;
    return;
  }
  // A size of 0 in a file that says where it ends: there are no samples.
  const bool closed = header.riff_bytes + 9 >= header.file_bytes;
  const bool unknown = size == 0 ? !closed
                                 : size == kFourGiB - 1 || size == kFourGiB / 2 || size == kUnknownFrom ||
                                       (size > kUnknownFrom && data.present_bytes < size);
  if (unknown) data.claimed_bytes = data.present_bytes;
  if (!header.is_riff || data.present_bytes < kFourGiB) return;
  data.beyond_32_bits = true;
  // Whatever follows the samples is no 4 GB.
  if (!unknown) data.claimed_bytes = size + (data.present_bytes - size) / kFourGiB * kFourGiB;
}

}  // namespace

std::optional<RiffData> find_riff_data(int fd) {
  struct stat status {};
  unsigned char head[28];
  if (::fstat(fd, &status) != 0 || ::pread(fd, head, 12, 0) != 12) return std::nullopt;
  const std::string_view kind(reinterpret_cast<const char*>(head), 4);
  Header header{
      .file_bytes = status.st_size, .riff_bytes = static_cast<std::int64_t>(number(head + 4, 4)), .is_riff = kind == "RIFF"};
  if ((!header.is_riff && kind != "RF64" && kind != "BW64") || std::memcmp(head + 8, "WAVE", 4) != 0) return std::nullopt;
  RiffData data;
  std::int64_t at = 12;
  for (int count = 0; count < kMostChunks && ::pread(fd, head, 8, at) == 8; ++count) {
    const auto size = static_cast<std::int64_t>(number(head + 4, 4));
    at += 8;
    if (std::memcmp(head, "data", 4) == 0) {
      data.begin = at;
      data.present_bytes = status.st_size - at;
      settle_claim(header, size, data);
      return data.format.empty() ? std::nullopt : std::optional(data);
    }
    if (std::memcmp(head, "ds64", 4) == 0 && ::pread(fd, head, 16, at) == 16) header.data_bytes_64 = number(head + 8, 8);
    if (std::memcmp(head, "fmt ", 4) == 0 && size <= kMostFormat) {
      data.format.resize(static_cast<std::size_t>(size));
      if (::pread(fd, data.format.data(), data.format.size(), at) != size) return std::nullopt;
    }
    at += size + (size & 1);
  }
  return std::nullopt;
}

double claimed_by_present(int fd) {
  struct stat status {};
  unsigned char head[24];
  if (::fstat(fd, &status) != 0 || ::pread(fd, head, sizeof head, 0) != sizeof head) return 1;
  const auto big_endian = [&](int at) {
    return std::int64_t{head[at]} << 24 | head[at + 1] << 16 | head[at + 2] << 8 | head[at + 3];
  };
  constexpr std::int64_t kUnknown = 0x7f000000;  // from here on: written by who does not know yet
  std::int64_t claimed = 0;
  if (std::memcmp(head, "FORM", 4) == 0) claimed = 8 + big_endian(4);
  if (std::memcmp(head, ".snd", 4) == 0) claimed = big_endian(4) + big_endian(8);
  if (claimed >= kUnknown) return 1;
  if (std::memcmp(head, "riff\x2e\x91\xcf\x11", 8) == 0) claimed = static_cast<std::int64_t>(number(head + 16, 8));
  return std::max(1.0, static_cast<double>(claimed) / static_cast<double>(status.st_size));
}

std::string rf64_header(const RiffData& data) {
  constexpr std::uint64_t kIn64 = 0xffffffff;
  const auto bytes = static_cast<std::uint64_t>(data.claimed_bytes);
  std::string chunks = "WAVEds64";
  append_number(chunks, 28, 4);
  const std::size_t sizes_at = chunks.size();
  chunks.append(28, '\0');
  chunks += "fmt ";
  append_number(chunks, data.format.size(), 4);
  chunks += data.format;
  if (data.format.size() % 2 == 1) chunks += '\0';
  chunks += "data";
  append_number(chunks, kIn64, 4);
  std::string sizes;
  append_number(sizes, chunks.size() + bytes, 8);
  append_number(sizes, bytes, 8);
  chunks.replace(sizes_at, sizes.size(), sizes);
  std::string header = "RF64";
  append_number(header, kIn64, 4);
  return header + chunks;
}

}  // namespace whimbrel::audio
