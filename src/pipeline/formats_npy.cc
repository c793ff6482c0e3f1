// scores.npy: all scores; scores.index.csv: which window each row is.
#include <fmt/format.h>

#include <algorithm>

#include "pipeline/formats_kinds.h"
#include "pipeline/formats_text.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

/// The header of a .npy says how many rows follow, which is known at the end: until then scores wait in a spool.
class Npy : public OutputFormat {
 public:
  explicit Npy(const FormatContext& context)
      : grid_(context.grid),
        classes_(context.labels.size()),
        array_path_(context.out_dir / "scores.npy"),
        index_path_(context.out_dir / "scores.index.csv"),
        index_(index_path_),
        spool_(context.out_dir) {
    index_.write("row,file,start_s,end_s\n");
  }

  void begin_recording(const RecordingName& recording) override { file_ = csv_cell(recording.path.string()); }

  void window(std::int64_t index, std::span<const float> scores) override {
    check_scores(scores, classes_);
    spool_.append(scores);
    const std::int64_t start = index * grid_.hop_samples;
    index_.write(fmt::format("{},{},{},{}\n", rows_++, file_, seconds_text(start, grid_.sample_rate_hz),
                             seconds_text(start + grid_.window_samples, grid_.sample_rate_hz)));
  }

  void end_recording() override {}

  void finish() override {
    AtomicFile array(array_path_);
    array.write(npy_header({rows_, static_cast<std::int64_t>(classes_)}));
    const std::int64_t total = rows_ * static_cast<std::int64_t>(classes_);
    std::vector<float> block(static_cast<std::size_t>(std::min<std::int64_t>(total, 1 << 18)));
    for (std::int64_t at = 0; at < total; at += static_cast<std::int64_t>(block.size())) {
      block.resize(static_cast<std::size_t>(std::min<std::int64_t>(total - at, static_cast<std::int64_t>(block.size()))));
      spool_.read(at, block);
      array.write(std::span<const float>(block));
    }
    array.commit();
    index_.commit();
  }

  std::vector<std::filesystem::path> files() const override { return {array_path_, index_path_}; }

 private:
  const WindowGrid grid_;
  const std::size_t classes_;
  const std::filesystem::path array_path_;
  const std::filesystem::path index_path_;
  AtomicFile index_;
  Spool spool_;
  std::string file_;  // as a csv cell
  std::int64_t rows_ = 0;
};

}  // namespace

std::unique_ptr<OutputFormat> make_npy(const FormatContext& context) { return std::make_unique<Npy>(context); }

}  // namespace whimbrel
