#include <algorithm>
#include <fstream>
#include <string>
#include <string_view>

#include "audio/recording_time_text.h"
#include "whimbrel/audio.h"

namespace whimbrel {
namespace {

constexpr std::uint64_t kMostText = 64 * 1024;
constexpr int kMostChunks = 1000;  // real files have ten
constexpr std::uint64_t kHeadSize = 8;
constexpr std::uint32_t kSizeIn64 = 0xffffffff;  // of a chunk in RF64: the ds64 chunk has it

/// Little-endian.
std::uint64_t number_at(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

std::uint64_t padded(std::uint64_t size) { return size + (size & 1); }

/// Up to `size` bytes; fewer where the file ends or cannot be read.
std::string bytes_at(std::ifstream& file, std::uint64_t at, std::uint64_t size) {
  std::string bytes(size, '\0');
  file.clear();
  file.seekg(static_cast<std::streamoff>(at));
  file.read(bytes.data(), static_cast<std::streamsize>(size));
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  return bytes;
}

/// Chunks that may hold a time; the first of each kind.
struct Chunks {
  std::string guano;
  std::string comment;
  std::string bext;
};

/// The comment in the body of a LIST chunk, or "".
std::string comment_in(std::string_view list) {
  if (!list.starts_with("INFO")) return "";
  for (std::uint64_t at = 4; at + kHeadSize <= list.size();) {
    const auto size = number_at(list, at + 4, 4);
    if (size > list.size() - at - kHeadSize) return "";
    if (list.substr(at, 4) == "ICMT") return std::string(list.substr(at + kHeadSize, size));
    at += kHeadSize + padded(size);
  }
  return "";
}

void note(std::string_view id, std::string body, Chunks& chunks) {
  if (id == "LIST" && chunks.comment.empty()) {
    chunks.comment = comment_in(body);
  } else if (id == "bext" && chunks.bext.empty()) {
    chunks.bext = std::move(body);
  } else if (id == "guan" && chunks.guano.empty()) {
    if (body.size() == kMostText) body.resize(body.rfind('\n') + 1);  // the last line may be cut
    chunks.guano = std::move(body);
  }
}

bool is_chunk_id(std::string_view id) {
  return std::ranges::all_of(id, [](char c) { return c >= 0x20 && c < 0x7f; });
}

Chunks chunks_of(const std::filesystem::path& path) {
  Chunks chunks;
  std::error_code failed;
  if (!std::filesystem::is_regular_file(path, failed)) return chunks;
  const std::uint64_t end = std::filesystem::file_size(path, failed);
  std::ifstream file(path, std::ios::binary);
  if (failed || !file) return chunks;
  const auto riff = bytes_at(file, 0, 12);
  const std::string_view kind = std::string_view(riff).substr(0, 4);
  if (riff.size() < 12 || !riff.ends_with("WAVE") || (kind != "RIFF" && kind != "RF64" && kind != "BW64")) return chunks;
  std::uint64_t data_size = 0;
  std::uint64_t at = 12;
  for (int count = 0; count < kMostChunks && at + kHeadSize <= end; ++count) {
    const auto head = bytes_at(file, at, kHeadSize);
    if (head.size() < kHeadSize) break;
    const std::string_view id = std::string_view(head).substr(0, 4);
    std::uint64_t size = number_at(head, 4, 4);
    if (id == "data" && size == kSizeIn64) size = data_size;
    if (!is_chunk_id(id) || size > end - at - kHeadSize) break;
    if (id == "guan" || id == "LIST" || id == "bext")
      note(id, bytes_at(file, at + kHeadSize, std::min(size, kMostText)), chunks);
    if (const auto ds64 = id == "ds64" ? bytes_at(file, at + kHeadSize, 16) : ""; ds64.size() == 16)
      data_size = number_at(ds64, 8, 8);
    at += kHeadSize + padded(size);
  }
  return chunks;
}

std::optional<RecordingTime> time_in(const Chunks& chunks) {
  if (const auto time = time_of_guano(chunks.guano)) return time;
  if (const auto time = time_of_comment(chunks.comment)) return time;
  // Description, originator and its reference are before them.
  constexpr std::size_t kDate = 320, kDateSize = 10, kTimeSize = 8;
  if (chunks.bext.size() < kDate + kDateSize + kTimeSize) return std::nullopt;
  const std::string_view bext = chunks.bext;
  return time_of_bext(bext.substr(kDate, kDateSize), bext.substr(kDate + kDateSize, kTimeSize));
}

}  // namespace

std::optional<RecordingTime> recording_time(const std::filesystem::path& path) {
  if (const auto time = time_in(chunks_of(path))) return time;
  return recording_time_from_name(path);
}

std::optional<RecordingTime> recording_time_from_name(const std::filesystem::path& path) {
  return time_of_stem(path.stem().string());
}

}  // namespace whimbrel
