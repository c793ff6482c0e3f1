#include "pipeline/result_writer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "pipeline/formats_kinds.h"
#include "pipeline/formats_text.h"
#include "pipeline/keeper.h"

namespace whimbrel {
namespace {

std::optional<std::int64_t> samples_of(std::optional<double> seconds, const WindowGrid& grid) {
  if (!seconds) return std::nullopt;
  return std::llround(*seconds * grid.sample_rate_hz);
}

}  // namespace

ResultWriter::ResultWriter(const PredictOptions& options, std::vector<Label> labels, const WindowGrid& grid, PostProcess post)
    : post_(std::move(post)),
      classes_(labels.size()),
      grid_(grid),
      listed_(listed_classes(post_, labels)),
      detector_(grid, class_thresholds(post_, labels, listed_, options.threshold), options.top_k),
      store_(classes_, samples_of(post_.merge_gap_s, grid), options.out_dir),
      sums_(classes_) {
  if (post_.events) event_high_ = class_thresholds(post_, labels, listed_, post_.events->high);
  const FormatContext context{options.out_dir, std::move(labels), grid, options.sample_submission, options.absolute_time};
  if (options.keep != nullptr) {
    formats_.push_back(make_keeper(*options.keep));
    if (options.embeddings) embeddings_ = make_embeddings_keeper(*options.keep);
  } else {
    for (const auto& name : options.formats) formats_.push_back(make_format(name, context));
    if (options.embeddings) embeddings_ = make_embeddings(context);
  }
  lists_detections_ = std::any_of(formats_.begin(), formats_.end(), [](const auto& f) { return f->lists_detections(); });
}

void ResultWriter::check_recordings(std::span<const RecordingName> recordings) const {
  for (const auto& format : formats_) format->check_recordings(recordings);
}

void ResultWriter::write(const RecordingName& recording, const RecordingRows& rows) {
  for (const auto& format : formats_) format->begin_recording(recording);
  const std::int64_t scored = rows.scores ? write_scores(rows) : 0;
  if (post_.events && lists_detections_ && scored > 0) find_events(rows, *post_.events);
  store_.drain([this](const Detection& detection) { detected(detection); });
  if (scored < rows.windows) {
    const auto fill = mean();
    for (std::int64_t index = scored; index < rows.windows; ++index) {
      for (const auto& format : formats_) format->fill(index, fill);
    }
  }
  for (const auto& format : formats_) format->end_recording();
  if (!embeddings_ || !rows.embeddings) return;
  embeddings_->begin_recording(recording);
  rows.embeddings([this](std::int64_t index, std::span<const float> row) { embeddings_->window(index, row); });
  embeddings_->end_recording();
}

/// Returns the number of windows.
std::int64_t ResultWriter::write_scores(const RecordingRows& rows) {
  const TakeDetection list = [this](const Detection& detection) { detected(detection); };
  const TakeDetection keep = [this](const Detection& detection) { store_.add(detection); };
  const bool detects = lists_detections_ && !post_.events;
  std::int64_t windows = 0;
  post_processed(rows.scores, post_, listed_)([&](std::int64_t index, std::span<const float> scores) {
    check_scores(scores, classes_);
    if (!tallied_) count(scores);
    for (const auto& format : formats_) format->window(index, scores);
    if (detects) detector_.window(index, scores, post_.merge_gap_s ? keep : list);  // unmerged, they come in order
    windows = index + 1;
  });
  return windows;
}

void ResultWriter::find_events(const RecordingRows& rows, const EventRule& rule) {
  if (!rows.frames) throw Error(ErrorCode::internal, "events without frame-wise scores, expected them; report this as a bug");
  EventFinder::Rule per_class{rule.median_frames, event_high_, event_high_};
  for (float& low : per_class.low) {
    // The number that was typed, where it is not scaled.
    low = low == static_cast<float>(rule.high) ? static_cast<float>(rule.low) : static_cast<float>(low * rule.low / rule.high);
  }
  EventFinder finder(grid_, rows.frames_per_window, std::move(per_class));
  const TakeDetection keep = [this](const Detection& event) { store_.add(event); };
  rows.frames([&](std::int64_t index, std::span<const float> scores) { finder.window(index, scores, keep); });
  finder.finish(keep);
}

void ResultWriter::detected(const Detection& detection) {
  for (const auto& format : formats_) format->detection(detection);
}

void ResultWriter::tally(const RecordingRows& rows) {
  tallied_ = true;
  if (!rows.scores) return;
  post_processed(rows.scores, post_, listed_)([this](std::int64_t, std::span<const float> scores) {
    check_scores(scores, classes_);
    count(scores);
  });
}

void ResultWriter::count(std::span<const float> scores) {
  for (std::size_t c = 0; c < classes_; ++c) sums_[c] += scores[c];
  ++rows_;
}

std::vector<float> ResultWriter::mean() const {
  std::vector<float> mean(classes_);
  if (rows_ == 0) return mean;
  std::transform(sums_.begin(), sums_.end(), mean.begin(),
                 [this](double sum) { return static_cast<float>(sum / static_cast<double>(rows_)); });
  return mean;
}

void ResultWriter::finish() {
  for (const auto& format : formats_) format->finish();
  if (embeddings_) embeddings_->finish();
}

std::vector<std::filesystem::path> ResultWriter::files() const {
  std::vector<std::filesystem::path> files;
  for (const auto& format : formats_) {
    for (auto& file : format->files()) files.push_back(std::move(file));
  }
  if (embeddings_) {
    for (auto& file : embeddings_->files()) files.push_back(std::move(file));
  }
  return files;
}

std::int64_t ResultWriter::rows_filled() const {
  std::int64_t most = 0;
  for (const auto& format : formats_) most = std::max(most, format->rows_filled());
  return most;
}

}  // namespace whimbrel
