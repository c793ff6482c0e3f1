// From a recording's scores to the files of a run: post-process, detect, hand to the formats.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "pipeline/detection.h"
#include "pipeline/detector.h"
#include "pipeline/events.h"
#include "pipeline/formats.h"
#include "pipeline/post_process.h"

namespace whimbrel {

/// What a run knows of one recording. Sources of rows may be empty.
struct RecordingRows {
  Rows scores;                         // [classes] of each window that was scored: the first ones of the recording
  Rows frames;                         // [classes, frames] of each of them
  Rows embeddings;                     // [d] of windows
  std::int64_t frames_per_window = 0;  // of `frames`
  std::int64_t windows = 0;            // of the whole recording, also those that were not scored
};

/// Writes recordings in the order in which they are given. Memory does not grow with them. Not thread-safe.
class ResultWriter {
 public:
  /// Opens every format of `options`.
  /// @throws Error{invalid_argument}, Error{not_found}, Error{io} as make_format(), listed_classes() and class_thresholds()
  ResultWriter(const PredictOptions& options, std::vector<Label> labels, const WindowGrid& grid, PostProcess post);

  /// @throws as OutputFormat::check_recordings()
  void check_recordings(std::span<const RecordingName> recordings) const;

  /// Windows that were not scored hold the mean of each class over all rows that were, in formats that hold every window.
  void write(const RecordingName& recording, const RecordingRows& rows);

  /// For a run that ends before all is scored, so that the mean is that of the run: called for every recording that is still to
  /// be written, before the first write() of them. From then on write() adds nothing to the mean.
  void tally(const RecordingRows& rows);

  /// Completes the files. Called once, also after an interrupted run.
  void finish();

  /// After finish().
  std::vector<std::filesystem::path> files() const;
  /// Rows without a score of their own, in the format that has most of them.
  std::int64_t rows_filled() const;

 private:
  void count(std::span<const float> scores);
  std::vector<float> mean() const;
  std::int64_t write_scores(const RecordingRows& rows);
  void find_events(const RecordingRows& rows, const EventRule& rule);
  void detected(const Detection& detection);

  PostProcess post_;
  std::size_t classes_;
  WindowGrid grid_;
  std::vector<bool> listed_;
  std::vector<std::unique_ptr<OutputFormat>> formats_;
  std::unique_ptr<OutputFormat> embeddings_;  // null: not asked for
  bool lists_detections_ = false;
  Detector detector_;
  std::vector<float> event_high_;  // per class
  DetectionStore store_;
  std::vector<double> sums_;  // per class, of rows_ rows
  std::int64_t rows_ = 0;
  bool tallied_ = false;
};

}  // namespace whimbrel
