// What a run has scored so far, on disk in its output folder: collected rows wait there for their turn to be written, and a
// later run goes on from there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "whimbrel/pipeline.h"

namespace whimbrel {

/// Tells a file from one that was changed or replaced since.
struct FileStamp {
  std::int64_t bytes = -1;  // -1: no such file
  std::int64_t modified_ns = 0;

  bool operator==(const FileStamp&) const = default;
};
FileStamp stamp_of(const std::filesystem::path& path);

/// Rows that stand one after the other.
struct RowRun {
  std::int64_t position = 0;  // in the journal
  std::int64_t rows = 0;
};

/// A recording that an earlier run has finished.
struct JournaledRecording {
  RecordingResult result;
  FileStamp stamp;
  std::vector<RowRun> runs;
};

/// A file of records, each with a checksum. One that was cut off by the end of its process, and what follows it, is not there
/// for a later run. docs/formats.md gives it to the byte. Thread-safe.
class Journal {
 public:
  /// Of a run whose results stay in memory: an unnamed file in `folder` that is gone with the process. @throws Error{io}
  static std::unique_ptr<Journal> unnamed(const std::filesystem::path& folder);

  /// That of an output folder, with what earlier runs left. No other run can open it meanwhile.
  /// @throws Error{io}; Error{invalid_argument} where another run writes into this folder
  static std::unique_ptr<Journal> of_folder(const std::filesystem::path& out_dir);

  /// Removes a journal in which no recording was finished.
  ~Journal();

  /// What the earlier run was, as it was told to begin(); empty: there is nothing to go on from.
  const std::string& settings() const;
  /// What the earlier run finished, in the order in which it did.
  const std::vector<JournaledRecording>& finished() const;

  /// Forgets the earlier run. @param settings  one line of JSON @param row_size  floats of a row
  void begin(const std::string& settings, std::size_t row_size);
  /// Goes on with what is there.
  void resume();

  /// Returns the position at which they now stand. @throws Error{io}
  std::int64_t append_rows(std::size_t recording, std::span<const float> rows);
  /// @throws Error{io}, Error{internal} beyond what was appended
  void read_rows(std::int64_t position, std::span<float> rows) const;

  /// All rows of this recording have been appended since begin() or resume(). It is safe from the end of this process at once,
  /// and from a power cut after a few seconds. @throws Error{io}
  void finish(std::size_t recording, const RecordingResult& result, const FileStamp& stamp);

  /// The run is complete: there is nothing to go on from any more.
  void remove();

 private:
  struct Impl;
  explicit Journal(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// "models/0/batch is 4, was 1" for each value that differs in the settings of two runs; empty where none does.
std::string settings_difference(const std::string& now, const std::string& earlier);

}  // namespace whimbrel
