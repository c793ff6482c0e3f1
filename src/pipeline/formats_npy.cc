// NAME.npy: all rows; NAME.index.csv: which window each of them is. NAME is scores or embeddings.
#include <fmt/format.h>

#include <algorithm>

#include "pipeline/formats_kinds.h"
#include "pipeline/formats_text.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

/// The header of a .npy says how many rows follow, which is known at the end: until then they wait in a spool.
class Npy : public OutputFormat {
 public:
  /// @param width  of a row; 0: that of the first one
  Npy(const FormatContext& context, const std::string& name, std::size_t width)
      : grid_(context.grid),
        absolute_time_(context.absolute_time),
        width_(width),
        array_path_(context.out_dir / (name + ".npy")),
        index_path_(context.out_dir / (name + ".index.csv")),
        index_(index_path_),
        spool_(context.out_dir) {
    index_.write(absolute_time_ ? "row,file,start_s,end_s,start_time,end_time\n" : "row,file,start_s,end_s\n");
  }

  void begin_recording(const RecordingName& recording) override {
    recording_ = recording;
    file_ = csv_cell(recording.path.string());
  }

  void window(std::int64_t index, std::span<const float> scores) override {
    if (width_ == 0) width_ = scores.size();
    check_scores(scores, width_);
    spool_.append(scores);
    const std::int64_t start = index * grid_.hop_samples;
    const std::int64_t end = start + grid_.window_samples;
    const int rate = grid_.sample_rate_hz;
    index_.write(fmt::format("{},{},{},{}", rows_++, file_, seconds_text(start, rate), seconds_text(end, rate)));
    if (absolute_time_) {
      index_.write(
          fmt::format(",{},{}", absolute_time_text(recording_, start, rate), absolute_time_text(recording_, end, rate)));
    }
    index_.write("\n");
  }

  void fill(std::int64_t index, std::span<const float> scores) override {
    window(index, scores);
    ++rows_filled_;
  }

  void end_recording() override {}

  void finish() override {
    AtomicFile array(array_path_);
    array.write(npy_header({rows_, static_cast<std::int64_t>(width_)}));
    const std::int64_t total = rows_ * static_cast<std::int64_t>(width_);
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
  std::int64_t rows_filled() const override { return rows_filled_; }

 private:
  const WindowGrid grid_;
  const bool absolute_time_;
  std::size_t width_;
  const std::filesystem::path array_path_;
  const std::filesystem::path index_path_;
  AtomicFile index_;
  Spool spool_;
  RecordingName recording_;
  std::string file_;  // as a csv cell
  std::int64_t rows_ = 0;
  std::int64_t rows_filled_ = 0;
};

}  // namespace

std::unique_ptr<OutputFormat> make_npy(const FormatContext& context) {
  return std::make_unique<Npy>(context, "scores", context.labels.size());
}

std::unique_ptr<OutputFormat> make_embeddings(const FormatContext& context) {
  return std::make_unique<Npy>(context, "embeddings", 0);
}

}  // namespace whimbrel
