#include "pipeline/row_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "whimbrel/io.h"

namespace whimbrel {

RowTableReader::RowTableReader(const std::filesystem::path& path) : path_(path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    throw Error(ErrorCode::not_found, fmt::format("{}: no such file, expected a CSV with a row_id column", path.string()));
  }
  in_.open(path, std::ios::binary);
  if (!in_) throw Error(ErrorCode::io, fmt::format("{}: cannot be opened, expected a readable file", path.string()));
  if (!next_line()) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: empty, expected a header row_id,<classes>", path.string()));
  }
  if (line_.starts_with("\xef\xbb\xbf")) line_.erase(0, 3);
  split();
  if (cells_.size() < 2 || cells_.front() != "row_id") {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: header of {} columns that starts with \"{}\", expected row_id,<classes>", where(),
                            cells_.size(), cells_.front()));
  }
  classes_.assign(cells_.begin() + 1, cells_.end());
  std::unordered_set<std::string_view> seen;
  for (const auto& name : classes_) {
    if (seen.insert(name).second) continue;
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: column \"{}\" twice, expected each class once", where(), name));
  }
}

bool RowTableReader::next() {
  if (!next_line()) return false;
  split();
  if (cells_.size() == classes_.size() + 1) return true;
  throw Error(ErrorCode::invalid_argument, fmt::format("{}: {} cells, expected {} as in the header; is the file complete?",
                                                       where(), cells_.size(), classes_.size() + 1));
}

std::string RowTableReader::where() const { return fmt::format("{}:{}", path_.string(), line_number_); }

bool RowTableReader::next_line() {
  while (read_line(in_, line_, path_)) {
    ++line_number_;
    if (line_.ends_with('\r')) line_.pop_back();
    if (!line_.empty()) return true;
  }
  if (in_.bad()) throw Error(ErrorCode::io, fmt::format("{}: reading failed after line {}", path_.string(), line_number_));
  return false;
}

void RowTableReader::split() {
  cells_.clear();
  char* in = line_.data();
  char* const end = in + line_.size();
  for (;; ++in) {
    char* const begin = in;
    char* out = begin;
    if (in != end && *in == '"') {
      bool closed = false;
      for (++in; in != end && !closed; ++in) {
        if (*in != '"') {
          *out++ = *in;
        } else if (in + 1 != end && in[1] == '"') {
          *out++ = *in++;
        } else {
          closed = true;
        }
      }
      if (!closed || (in != end && *in != ',')) {
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("{}: cell {} starts with a quote that does not end it on this line, expected \"text\"", where(),
                                cells_.size() + 1));
      }
    } else {
      out = in = std::find(in, end, ',');
    }
    cells_.emplace_back(begin, static_cast<std::size_t>(out - begin));
    if (in == end) return;
  }
}

}  // namespace whimbrel
