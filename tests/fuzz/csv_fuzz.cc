// Tables: as a whole, row by row, and as a sample submission.
#include "fuzz/fuzz.h"
#include "pipeline/formats.h"
#include "pipeline/row_table.h"
#include "whimbrel/io.h"

namespace {

using namespace whimbrel;

/// What is written must be read again as it was.
void round_trip(const CsvTable& table) {
  std::string text;
  auto rows = table.rows;
  rows.insert(rows.begin(), table.header);
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) text += (i > 0 ? "," : "") + csv_cell(row[i]);
    text += '\n';
  }
  if (table.header.size() == 1 || text.starts_with("\xEF\xBB\xBF")) return;  // blank lines and a mark are skipped
  const auto again = parse_csv(text, "again");
  fuzz::require(again.header == table.header && again.rows == table.rows);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::Folder folder;
  const auto text = fuzz::text(data, size);
  fuzz::answers([&] { round_trip(parse_csv(text, "table")); });
  fuzz::answers([&] { parse_csv(text, "table", '\t'); });
  const auto path = folder.write("sample.csv", text);
  fuzz::answers([&] {
    RowTableReader table(path);
    while (table.next()) {
      for (std::size_t i = 0; i < table.classes().size(); ++i) fuzz::require(table.cell(i).size() <= size);
    }
  });
  FormatContext context{.out_dir = folder / "out", .sample_submission = path};
  context.labels = {{"a", "a", "a"}, {"b", "b", "b"}};
  context.grid = {.sample_rate_hz = 8000, .window_samples = 40000, .hop_samples = 40000};
  std::filesystem::create_directories(context.out_dir);
  fuzz::answers([&] { make_format("kaggle", context); });
  return 0;
}
