#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "whimbrel/io.h"

namespace whimbrel {
namespace {

/// Splits text into records of cells as RFC 4180 says, and remembers the line that each record begins on.
class CsvReader {
 public:
  CsvReader(std::string_view text, std::string_view name, char separator) : text_(text), name_(name), separator_(separator) {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
  }

  /// False at the end. Blank lines are skipped.
  bool next(std::vector<std::string>& cells) {
    while (at_ < text_.size()) {
      cells.clear();
      begin_line_ = line_;
      read_record(cells);
      if (cells.size() > 1 || !cells[0].empty()) return true;
    }
    return false;
  }

  std::size_t line() const { return begin_line_; }

 private:
  void read_record(std::vector<std::string>& cells) {
    for (;;) {
      cells.push_back(at_ < text_.size() && text_[at_] == '"' ? quoted() : plain());
      if (at_ >= text_.size()) return;
      const char c = text_[at_++];
      if (c == separator_) continue;
      if (c == '\r' && at_ < text_.size() && text_[at_] == '\n') ++at_;
      ++line_;
      return;
    }
  }

  std::string plain() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != separator_ && text_[at_] != '\n' && text_[at_] != '\r') ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string quoted() {
    std::string cell;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\n') ++line_;
      if (text_[at_] != '"') {
        cell += text_[at_];
      } else if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
        cell += text_[++at_];
      } else {
        ++at_;
        return cell + plain();  // what follows a closing quote belongs to the cell, as spreadsheets read it
      }
    }
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}:{}: a quoted cell has no end, expected a closing \"", name_, begin_line_));
  }

  std::string_view text_;
  std::string_view name_;
  char separator_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  std::size_t begin_line_ = 1;
};

}  // namespace

std::string csv_cell(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string cell = "\"";
  for (const char c : text) {
    if (c == '"') cell += '"';
    cell += c;
  }
  return cell + '"';
}

bool looks_like_formula(std::string_view text) {
  if (text.empty() || std::string_view("=+-@\t\r").find(text.front()) == std::string_view::npos) return false;
  double number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec != std::errc() || parsed.ptr != text.data() + text.size();
}

std::size_t CsvTable::column(std::string_view name) const {
  const auto found = std::find(header.begin(), header.end(), name);
  if (found != header.end()) return static_cast<std::size_t>(found - header.begin());
  constexpr std::size_t kShown = 20;  // a submission has hundreds
  const auto close = closest_word(name, header);
  throw Error(ErrorCode::invalid_argument,
              fmt::format("no column \"{}\", expected one of {}{}{}", name,
                          fmt::join(header.begin(),
                                    header.begin() + static_cast<std::ptrdiff_t>(std::min(header.size(), kShown)), ", "),
                          header.size() > kShown ? fmt::format(", ... ({} in all)", header.size()) : "",
                          close.empty() ? "" : fmt::format("; did you mean \"{}\"?", close)));
}

CsvTable parse_csv(std::string_view text, std::string_view name, char separator) {
  CsvReader reader(text, name, separator);
  CsvTable table;
  if (!reader.next(table.header))
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: empty, expected a header line", name));
  std::vector<std::string> cells;
  while (reader.next(cells)) {
    if (cells.size() != table.header.size()) {
      throw Error(ErrorCode::invalid_argument, fmt::format("{}:{}: {} cells, expected {} as in the header", name, reader.line(),
                                                           cells.size(), table.header.size()));
    }
    table.rows.push_back(std::move(cells));
    cells = {};
  }
  return table;
}

CsvTable read_csv(const std::filesystem::path& path, char separator, std::int64_t max_bytes) {
  return parse_csv(read_file(path, max_bytes), path.string(), separator);
}

bool read_line(std::istream& in, std::string& line, const std::filesystem::path& path) {
  constexpr std::size_t kLongest = std::size_t{64} << 20;
  constexpr std::size_t kStep = std::size_t{1} << 16;
  line.clear();
  for (;;) {
    const std::size_t size = line.size();
    line.resize(size + kStep);
    in.getline(line.data() + size, kStep);  // ends what it reads with a zero
    const auto taken = static_cast<std::size_t>(in.gcount());
    const bool full = in.fail() && !in.bad() && taken == kStep - 1;
    const bool ended = in.good();  // at a line feed, which counts as taken
    line.resize(size + taken - (ended ? 1 : 0));
    if (!full) return !in.bad() && (ended || !line.empty());
    in.clear();
    if (line.size() < kLongest) continue;
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: a line of more than {} bytes, expected a table of text", path.string(), kLongest));
  }
}

}  // namespace whimbrel
