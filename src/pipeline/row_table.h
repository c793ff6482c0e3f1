// A CSV of one row a window: `row_id`, then one column a class. Submissions, sample submissions and truth have this layout.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace whimbrel {

/// Reads row by row: such files have millions of cells, and a table of strings would need twenty times their scores.
/// Cells may be quoted (RFC 4180) but hold no line break; LF or CRLF, an optional UTF-8 byte order mark; blank lines are
/// skipped. Not thread-safe.
class RowTableReader {
 public:
  /// @throws Error{not_found}, Error{invalid_argument} without a header of `row_id` and distinct class names
  explicit RowTableReader(const std::filesystem::path& path);

  /// In the file's order.
  const std::vector<std::string>& classes() const { return classes_; }

  /// Moves to the next row; false at the end.
  /// @throws Error{invalid_argument} "file:line: 3 cells, expected 25"; Error{io}
  bool next();

  std::string_view row_id() const { return cells_.front(); }
  /// Text of one class of this row; valid until next().
  std::string_view cell(std::size_t class_index) const { return cells_[class_index + 1]; }

  /// "truth.csv:3", for messages.
  std::string where() const;

 private:
  bool next_line();
  void split();

  std::filesystem::path path_;
  std::ifstream in_;
  std::vector<std::string> classes_;
  std::string line_;
  std::vector<std::string_view> cells_;  // into line_, unquoted in place
  std::int64_t line_number_ = 0;
};

}  // namespace whimbrel
