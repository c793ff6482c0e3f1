// What a killed run left: bytes as they are, or records whose checksums are right, so that what is in them is looked at.
#include "pipeline/journal.h"

#include "fuzz/fuzz.h"
#include "whimbrel/io.h"

namespace {

using namespace whimbrel;

constexpr auto kName = ".whimbrel-journal";
constexpr std::size_t kHead = 4;  // of a record in the input: kind, number, two bytes of length

/// The input's records as a journal has them, and what is left of the input behind them.
void write_records(const std::filesystem::path& path, std::string_view input) {
  constexpr std::uint32_t kBegin = 0x01'4e'48'57;
  std::filesystem::remove(path);
  RecordFile file(path);
  while (input.size() >= kHead) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(input[i]); };
    const std::uint32_t kind = byte(0) % 8 == 0 ? kBegin : byte(0) % 8;
    const std::size_t length = std::min<std::size_t>(byte(2) | byte(3) << 8, input.size() - kHead);
    file.append(kind, byte(1), input.substr(kHead, length));
    input.remove_prefix(kHead + length);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::Folder folder;
  const auto input = fuzz::text(data, size);
  if (!input.empty() && input[0] == 'R') {
    write_records(folder / kName, input.substr(1));
  } else {
    folder.write(kName, input);
  }
  fuzz::answers([&] {
    const auto journal = Journal::of_folder(folder / "");
    (void)settings_difference(R"({"a":1,"b":[2,null]})", journal->settings());
    for (const auto& recording : journal->finished()) {
      for (const auto& run : recording.runs) {
        std::vector<float> row(1);
        fuzz::answers([&] { journal->read_rows(run.position, row); });
      }
    }
    journal->resume();
  });
  return 0;
}
