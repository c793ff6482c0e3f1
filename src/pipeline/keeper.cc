#include "pipeline/keeper.h"

#include <map>
#include <utility>

#include "pipeline/formats_text.h"
#include "pipeline/inputs.h"

namespace whimbrel {
namespace {

class Keeper : public OutputFormat {
 public:
  explicit Keeper(Prediction& prediction) : kept_(prediction) {}

  void check_recordings(std::span<const RecordingName> recordings) const override {
    for (const auto& recording : recordings) {
      positions_.emplace(recording.path, kept_.relative.size());
      kept_.relative.push_back(recording.relative);
    }
  }

  void begin_recording(const RecordingName& recording) override {
    recording_ = static_cast<std::uint32_t>(positions_.at(recording.path));
  }

  void window(std::int64_t index, std::span<const float> scores) override { add(index, scores, false); }
  void fill(std::int64_t index, std::span<const float> scores) override { add(index, scores, true); }

  void detection(const Detection& found) override {
    kept_.detections.push_back({recording_, found.label, found.start, found.end, found.confidence});
  }

  bool lists_detections() const override { return true; }
  void end_recording() override {}
  void finish() override {}
  std::vector<std::filesystem::path> files() const override { return {}; }
  std::int64_t rows_filled() const override { return rows_filled_; }

 private:
  void add(std::int64_t index, std::span<const float> scores, bool filled) {
    kept_.scores.insert(kept_.scores.end(), scores.begin(), scores.end());
    kept_.recording.push_back(recording_);
    kept_.window.push_back(index);
    kept_.filled.push_back(filled ? 1 : 0);
    rows_filled_ += filled ? 1 : 0;
  }

  Prediction& kept_;
  mutable std::map<std::filesystem::path, std::size_t> positions_;
  std::uint32_t recording_ = 0;
  std::int64_t rows_filled_ = 0;
};

class EmbeddingsKeeper : public OutputFormat {
 public:
  explicit EmbeddingsKeeper(Prediction& prediction) : kept_(prediction) {}

  void begin_recording(const RecordingName& /*recording*/) override {}
  void window(std::int64_t /*index*/, std::span<const float> embedding) override {
    kept_.embedding_size = embedding.size();
    kept_.embeddings.insert(kept_.embeddings.end(), embedding.begin(), embedding.end());
  }
  void end_recording() override {}
  void finish() override {}
  std::vector<std::filesystem::path> files() const override { return {}; }

 private:
  Prediction& kept_;
};

RecordingName name_of(const Prediction& prediction, std::size_t recording) {
  const auto& result = prediction.run.recordings[recording];
  return {.path = result.path, .relative = prediction.relative[recording], .began = result.began};
}

/// Tells one recording of `prediction` to all of `formats`; `row` and `found` move past what is its own.
void tell(const Prediction& prediction, std::size_t recording, const std::vector<std::unique_ptr<OutputFormat>>& formats,
          std::size_t& row, std::size_t& found) {
  const std::size_t classes = prediction.labels.size();
  const RecordingName name = name_of(prediction, recording);
  for (const auto& format : formats) format->begin_recording(name);
  for (; row < prediction.recording.size() && prediction.recording[row] == recording; ++row) {
    const auto scores = std::span(prediction.scores).subspan(row * classes, classes);
    for (const auto& format : formats) {
      if (prediction.filled[row] != 0)
        format->fill(prediction.window[row], scores);
      else
        format->window(prediction.window[row], scores);
    }
  }
  for (; found < prediction.detections.size() && prediction.detections[found].recording == recording; ++found) {
    const auto& d = prediction.detections[found];
    for (const auto& format : formats) format->detection({d.start, d.end, d.label, d.confidence});
  }
  for (const auto& format : formats) format->end_recording();
}

bool is_written(RecordingState state) { return state == RecordingState::done || state == RecordingState::partial; }

}  // namespace

std::unique_ptr<OutputFormat> make_keeper(Prediction& prediction) { return std::make_unique<Keeper>(prediction); }

std::unique_ptr<OutputFormat> make_embeddings_keeper(Prediction& prediction) {
  return std::make_unique<EmbeddingsKeeper>(prediction);
}

std::vector<std::filesystem::path> write_prediction(const Prediction& prediction, const std::vector<std::string>& names,
                                                    const std::filesystem::path& out_dir,
                                                    const std::filesystem::path& sample_submission, bool absolute_time) {
  prepare_folder(out_dir);
  const FormatContext context{out_dir, prediction.labels, prediction.grid, sample_submission, absolute_time};
  std::vector<std::unique_ptr<OutputFormat>> formats;
  for (const auto& name : names) formats.push_back(make_format(name, context));
  std::vector<RecordingName> recordings;
  for (std::size_t r = 0; r < prediction.relative.size(); ++r) recordings.push_back(name_of(prediction, r));
  for (const auto& format : formats) format->check_recordings(recordings);
  std::size_t row = 0, found = 0;
  for (std::size_t r = 0; r < recordings.size(); ++r) {
    const bool has_rows = row < prediction.recording.size() && prediction.recording[row] == r;
    if (has_rows || is_written(prediction.run.recordings[r].state)) tell(prediction, r, formats, row, found);
  }
  std::vector<std::filesystem::path> files;
  for (const auto& format : formats) {
    format->finish();
    for (auto& file : format->files()) files.push_back(std::move(file));
  }
  if (absolute_time) warn_of_unknown_times(prediction.run.recordings);
  return files;
}

}  // namespace whimbrel
