// The output formats of `predict`. Each is told recordings in input order, and their windows and detections in time order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/detection.h"
#include "whimbrel/models.h"
#include "whimbrel/pipeline.h"

namespace whimbrel {

/// One recording as the outputs name it.
struct RecordingName {
  std::filesystem::path path;      // as the user gave it, or folder / what was found in it
  std::filesystem::path relative;  // below the folder that was given; the file name for a file given by itself
  std::shared_ptr<const Samples> samples = nullptr;  // of a recording in memory; `path` is then its name
  std::optional<RecordingTime> began = std::nullopt;
};

/// What every format needs to know of the run.
struct FormatContext {
  std::filesystem::path out_dir;
  std::vector<Label> labels;
  WindowGrid grid;
  std::filesystem::path sample_submission;  // may be empty; kaggle only
  bool absolute_time = false;
};

/// Writes one kind of output. Streaming: memory does not grow with the recordings, but for row names where a sample submission
/// asks for its own order. Files appear under their names at finish() only (per-recording ones at end_recording()); destroyed
/// without finish(), nothing is left of the others. Not thread-safe. docs/formats.md gives every file to the byte.
class OutputFormat {
 public:
  virtual ~OutputFormat() = default;
  /// Called with all recordings of the run before the first of them is begun, so that the user hears at once.
  /// @throws Error{invalid_argument} naming two recordings that would share a row name or an output file, or one whose output
  /// would leave out_dir
  virtual void check_recordings(std::span<const RecordingName> /*recordings*/) const {}
  virtual void begin_recording(const RecordingName& recording) = 0;
  /// For formats that hold scores.
  /// @param scores  [classes] probabilities of window `index` of the recording begun last
  /// @throws Error{internal} for another number of scores or one that is not finite
  virtual void window(std::int64_t /*index*/, std::span<const float> /*scores*/) {}
  /// The same for a window that the run did not reach: `scores` are the mean of those that it did.
  virtual void fill(std::int64_t /*index*/, std::span<const float> /*scores*/) {}
  /// For formats that list detections: one of the recording begun last, in the order in which they are listed.
  virtual void detection(const Detection& /*detection*/) {}
  virtual bool lists_detections() const { return false; }
  virtual void end_recording() = 0;
  /// Completes and renames. Called once; also after an interrupted run, with what there is: of a recording that was begun but
  /// not ended, run-wide files keep the windows that came, and its own file is not written.
  virtual void finish() = 0;
  /// Files written, for the summary; after finish(). A pattern ("out/*.txt") where there is a file a recording.
  virtual std::vector<std::filesystem::path> files() const = 0;
  /// Rows that no recording gave: those of fill(), and of a sample submission (kaggle).
  virtual std::int64_t rows_filled() const { return 0; }
};

/// "kaggle", "csv", "raven", "audacity", "kaleidoscope", "jsonl", "npy".
const std::vector<std::string>& format_names();

/// @throws Error{invalid_argument} for an unknown name (with the closest), values out of range, windows that do not end on
/// whole seconds (kaggle), or a sample submission that does not fit the labels; Error{not_found} without that file; Error{io}
std::unique_ptr<OutputFormat> make_format(std::string_view name, const FormatContext& context);

}  // namespace whimbrel
