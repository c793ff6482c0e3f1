// Files: atomic writing, CSV, NumPy arrays, spools. JSON and TOML are used through their libraries where they are needed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <istream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "whimbrel/core.h"

namespace whimbrel {

/// A file that appears under its name only when it is complete: writes go to "<name>.tmp" beside it, commit() flushes, syncs
/// and renames. Without commit() the destructor removes the temporary file. Not thread-safe.
class AtomicFile {
 public:
  /// Creates missing folders. @throws Error{io} naming the path and the system's reason
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(AtomicFile&&) noexcept;
  AtomicFile& operator=(AtomicFile&&) noexcept;

  /// Buffered. @throws Error{io}
  void write(std::string_view bytes);
  void write(std::span<const float> values);
  /// Bytes written so far.
  std::int64_t size() const;
  /// @throws Error{io}; afterwards nothing more may be written
  void commit();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The whole of a file. @throws Error{not_found}, Error{io}, Error{invalid_argument} when it is larger than max_bytes
std::string read_file(const std::filesystem::path& path, std::int64_t max_bytes = std::int64_t{1} << 30);

/// XXH3-128 of a file's bytes, 32 hexadecimal digits: tells one model file from another (not a protection against forgery).
/// @throws Error{not_found}, Error{io}
std::string file_hash(const std::filesystem::path& path);

/// XXH3-64 of bytes, 16 hexadecimal digits.
std::string text_hash(std::string_view text);

/// A cell as RFC 4180 writes it: quoted when it holds a comma, a quote, or a line break.
std::string csv_cell(std::string_view text);

/// Whether a spreadsheet would take a cell of this text for a formula: it begins with = + - @, a tab or a carriage return and
/// is no number.
bool looks_like_formula(std::string_view text);

/// A text as TOML writes it: a basic string, in quotes.
std::string toml_string(std::string_view value);

struct CsvTable {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;  // each as long as the header

  /// Index of the first column of this name. @throws Error{invalid_argument} naming the columns there are
  std::size_t column(std::string_view name) const;
};

/// RFC 4180 with LF or CRLF, quoted cells, an optional UTF-8 byte order mark; blank lines are skipped.
/// @param separator  ',' or '\t'
/// @throws Error{invalid_argument} "file:line: 3 cells, expected 25"
CsvTable parse_csv(std::string_view text, std::string_view name, char separator = ',');
/// @throws also Error{not_found}, Error{io}, Error{invalid_argument} above max_bytes: in memory, cells take up to 50 times as
/// much
CsvTable read_csv(const std::filesystem::path& path, char separator = ',', std::int64_t max_bytes = std::int64_t{64} << 20);

/// The next line without its end; false at the end of the file. @param path  for messages
/// @throws Error{invalid_argument} for a line of more than 64 MB, before memory is full of it
bool read_line(std::istream& in, std::string& line, const std::filesystem::path& path);

/// A NumPy array of float32, C order (format version 1.0, NEP 1).
struct NpyArray {
  Shape shape;
  std::vector<float> values;
};

/// The header for float32 values of this shape; what follows it is the values, little-endian.
std::string npy_header(const Shape& shape);
/// @throws Error{not_found}, Error{invalid_argument} for another type, order or a size that does not match the header
NpyArray read_npy(const std::filesystem::path& path);

/// A file of records that only grows: each has a kind, a number and some bytes, with a checksum. A process that ends while it
/// writes leaves a torn last record, which is not there for the next one. Thread-safe but for scan() and clear().
class RecordFile {
 public:
  struct Record {
    std::uint32_t kind = 0;
    std::uint32_t number = 0;
    std::int64_t position = 0;  // of its bytes in the file
    std::string_view bytes;     // valid during the call
  };

  /// Opens a file, or makes one. No other process can open it as this meanwhile.
  /// @throws Error{io}; Error{invalid_argument} while another process has it open
  explicit RecordFile(const std::filesystem::path& path);
  /// Without a name, in `folder`: gone with this object. @throws Error{io}
  static RecordFile unnamed(const std::filesystem::path& folder);
  ~RecordFile();
  RecordFile(RecordFile&&) noexcept;

  /// Calls `take` for each record up to the first that is not intact. What follows is cut off by the next append().
  /// @throws Error{io}
  void scan(const std::function<void(const Record&)>& take);
  /// Removes all records. @throws Error{io}
  void clear();
  /// Returns the position of `bytes` in the file. Safe from the end of this process at once. @throws Error{io}
  std::int64_t append(std::uint32_t kind, std::uint32_t number, std::string_view bytes);
  /// @throws Error{io}, Error{internal} beyond the end
  void read(std::int64_t position, std::span<char> bytes) const;
  /// Returns when all that was appended is safe from a power cut. @throws Error{io}
  void sync();
  /// Takes the name away.
  void remove();

 private:
  struct Impl;
  explicit RecordFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Rows of scores kept on disk until they are needed: an unnamed temporary file in `folder`, append-only, read by position.
/// Memory is constant. Thread-safe.
class Spool {
 public:
  /// @throws Error{io} where the folder is missing or cannot be written
  explicit Spool(const std::filesystem::path& folder);
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;
  /// Returns the position (in floats) at which `values` now stand. @throws Error{io}
  std::int64_t append(std::span<const float> values);
  /// @throws Error{io}, Error{internal} beyond what was appended
  void read(std::int64_t position, std::span<float> values) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace whimbrel
