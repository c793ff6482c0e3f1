// submission.csv: one row a window, one column a class; with a sample submission, its columns and rows in its order.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>

#include "pipeline/formats_kinds.h"
#include "pipeline/formats_text.h"
#include "pipeline/row_table.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

/// What names a recording's rows. Row ids are keys of line-based files, so they hold no line break.
std::string row_stem(const RecordingName& recording) { return flat_text(recording.relative.stem().string()); }

void append_row(std::string& out, std::string_view row_id, std::span<const float> scores) {
  out += csv_cell(row_id);
  for (const float score : scores) {
    out += ',';
    append_shortest(out, score);
  }
  out += '\n';
}

std::string header(const std::vector<std::string>& columns) {
  std::string line = "row_id";
  for (const auto& column : columns) line += ',' + csv_cell(column);
  return line + '\n';
}

std::vector<std::string> label_texts(const std::vector<Label>& labels) {
  std::vector<std::string> texts;
  texts.reserve(labels.size());
  for (const auto& label : labels) texts.push_back(label.text);
  return texts;
}

/// @throws Error{invalid_argument} unless every window ends on a whole second
const WindowGrid& whole_seconds(const WindowGrid& grid) {
  if (grid.window_samples % grid.sample_rate_hz == 0 && grid.hop_samples % grid.sample_rate_hz == 0) return grid;
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format("--format kaggle: windows of {} s every {} s, expected whole seconds, as row ids end in them; use another "
                  "hop (input.hop_s) or another format",
                  seconds_text(grid.window_samples, grid.sample_rate_hz), seconds_text(grid.hop_samples, grid.sample_rate_hz)));
}

class Submission : public OutputFormat {
 public:
  explicit Submission(const FormatContext& context)
      : grid_(whole_seconds(context.grid)),
        labels_(label_texts(context.labels)),
        path_(context.out_dir / "submission.csv"),
        file_(path_) {}

  void check_recordings(std::span<const RecordingName> recordings) const override {
    std::map<std::string, const RecordingName*> owners;
    for (const auto& recording : recordings) {
      const auto [owner, first] = owners.emplace(row_stem(recording), &recording);
      if (first) continue;
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("--format kaggle: {} and {} would both give rows \"{}_<seconds>\", expected different file names; "
                      "rename one or run them into two output folders",
                      owner->second->path.string(), recording.path.string(), owner->first));
    }
  }

  void begin_recording(const RecordingName& recording) override { stem_ = row_stem(recording); }

  void window(std::int64_t index, std::span<const float> scores) override {
    check_scores(scores, labels_.size());
    row(row_id(index), scores);
  }

  void end_recording() override {}
  std::vector<std::filesystem::path> files() const override { return {path_}; }

 protected:
  virtual void row(const std::string& row_id, std::span<const float> scores) = 0;

  std::string row_id(std::int64_t index) const {
    const std::int64_t end_s = (index * grid_.hop_samples + grid_.window_samples) / grid_.sample_rate_hz;
    return fmt::format("{}_{}", stem_, end_s);
  }

  void write_row(std::string_view row_id, std::span<const float> scores) {
    line_.clear();
    append_row(line_, row_id, scores);
    file_.write(line_);
  }

  const WindowGrid grid_;
  const std::vector<std::string> labels_;
  const std::filesystem::path path_;
  AtomicFile file_;

 private:
  std::string stem_;
  std::string line_;
};

/// Rows as they come.
class PlainSubmission : public Submission {
 public:
  explicit PlainSubmission(const FormatContext& context) : Submission(context) { file_.write(header(labels_)); }
  void fill(std::int64_t index, std::span<const float> scores) override {
    write_row(row_id(index), scores);
    ++rows_filled_;
  }
  void finish() override { file_.commit(); }
  std::int64_t rows_filled() const override { return rows_filled_; }

 private:
  void row(const std::string& row_id, std::span<const float> scores) override { write_row(row_id, scores); }

  std::int64_t rows_filled_ = 0;
};

/// Rows and columns of a sample: scores wait in a spool for their turn. It fills all rows that it does not get, whatever the
/// reason, at the end.
class SampleSubmission : public Submission {
 public:
  explicit SampleSubmission(const FormatContext& context) : Submission(context), spool_(context.out_dir) {
    RowTableReader sample(context.sample_submission);
    choose_columns(sample);
    while (sample.next()) {
      rows_.emplace_back(sample.row_id());
      if (positions_.emplace(rows_.back(), kNotScored).second) continue;
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: row \"{}\" is there before, expected each row once", sample.where(), rows_.back()));
    }
    sums_.resize(columns_.size());
    scores_.resize(columns_.size());
    file_.write(header(sample.classes()));
  }

  void finish() override {
    const std::vector<float> mean = column_means();
    for (const auto& row_id : rows_) {
      const std::int64_t position = positions_.at(row_id);
      if (position == kNotScored) {
        write_row(row_id, mean);
      } else {
        spool_.read(position, scores_);
        write_row(row_id, scores_);
      }
    }
    file_.commit();
    if (rows_filled() > 0) {
      log(LogLevel::warning,
          fmt::format("{}: {} of {} rows of the sample submission had no recording; they hold the mean of the {} "
                      "rows scored",
                      path_.string(), rows_filled(), rows_.size(), rows_scored_));
    }
    if (rows_dropped_ > 0) {
      log(LogLevel::warning, fmt::format("{}: {} scored windows are not rows of the sample submission and were left out",
                                         path_.string(), rows_dropped_));
    }
  }

  std::int64_t rows_filled() const override { return static_cast<std::int64_t>(rows_.size()) - rows_scored_; }

 private:
  static constexpr std::int64_t kNotScored = -1;

  void choose_columns(const RowTableReader& sample) {
    std::vector<bool> used(labels_.size());
    for (const auto& name : sample.classes()) {
      const auto label = std::find(labels_.begin(), labels_.end(), name);
      if (label == labels_.end()) {
        const std::string closest = closest_word(name, labels_);
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("{}: column \"{}\" is no label of the model, expected its {} labels{}", sample.where(), name,
                                labels_.size(),
                                closest.empty() ? "; give a sample with the classes of this model"
                                                : fmt::format("; did you mean \"{}\"?", closest)));
      }
      columns_.push_back(static_cast<std::size_t>(label - labels_.begin()));
      used[columns_.back()] = true;
    }
    const auto unused = std::count(used.begin(), used.end(), false);
    if (unused == 0) return;
    const auto first = static_cast<std::size_t>(std::find(used.begin(), used.end(), false) - used.begin());
    log(LogLevel::warning, fmt::format("{}: {} of the model's {} labels have no column and are left out (the first is \"{}\")",
                                       sample.where(), unused, labels_.size(), labels_[first]));
  }

  void row(const std::string& row_id, std::span<const float> scores) override {
    const auto position = positions_.find(row_id);
    if (position == positions_.end()) {
      ++rows_dropped_;
      return;
    }
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      scores_[i] = scores[columns_[i]];
      sums_[i] += scores_[i];
    }
    position->second = spool_.append(scores_);
    ++rows_scored_;
  }

  std::vector<float> column_means() const {
    std::vector<float> means(sums_.size());
    if (rows_scored_ == 0) return means;
    std::transform(sums_.begin(), sums_.end(), means.begin(),
                   [&](double sum) { return static_cast<float>(sum / static_cast<double>(rows_scored_)); });
    return means;
  }

  std::vector<std::size_t> columns_;                         // label of each column of the sample
  std::vector<std::string> rows_;                            // in the sample's order
  std::unordered_map<std::string, std::int64_t> positions_;  // in the spool
  Spool spool_;
  std::vector<double> sums_;
  std::vector<float> scores_;
  std::int64_t rows_scored_ = 0;
  std::int64_t rows_dropped_ = 0;
};

}  // namespace

std::unique_ptr<OutputFormat> make_kaggle(const FormatContext& context) {
  if (context.sample_submission.empty()) return std::make_unique<PlainSubmission>(context);
  return std::make_unique<SampleSubmission>(context);
}

}  // namespace whimbrel
