// Models run over the validation recordings as predict() runs them: what they say of each window, and what a window costs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "whimbrel/models.h"
#include "whimbrel/plan.h"

namespace whimbrel {

/// A folder for runs whose output nobody keeps, beside the plan; removed with what is in it.
class ScratchFolder {
 public:
  /// @throws Error{io}
  explicit ScratchFolder(const std::filesystem::path& output);
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// One form of one of the models to choose from.
struct PlanForm {
  std::filesystem::path reference;  // as --model names it
  std::string precision;
  std::size_t model = 0;  // forms of one model share it
  std::string engine;  // "auto", or that an INT8 model was made for: with "auto" its certificate might make the float one run
};

struct MeasuredModel {
  PlanForm form;
  Manifest manifest;
  std::string engine;
  int batch = 1;
  std::string hash;
  /// Of one worker for a window.
  double decode_s = 0;  // with writing
  double front_end_s = 0;
  double infer_s = 0;
  double startup_s = 0;
  std::vector<float> scores;  // [rows, classes]
};

/// The windows of the validation recordings, in the order of scores.
struct ValidationRows {
  std::vector<std::string> ids;         // "<stem>_<end in seconds>"
  std::vector<std::size_t> recordings;  // of each row, from 0
};

/// Runs one model, twice where the first run was too short to be a measure of time. An INT8 model runs as such, whatever its
/// certificate says: the float model beside it is a candidate of its own.
/// @param rows  filled by the first model; those of another one must be the same
/// @throws as predict(); Error{invalid_argument} where a recording cannot be read to its end, or two have one name;
/// Error{bad_manifest} for other rows; Error{cancelled}
MeasuredModel measure_model(const PlanOptions& options, const PlanForm& form, const ScratchFolder& scratch,
                            ValidationRows& rows);

/// Whole runs of an ensemble.
struct MeasuredRun {
  double startup_s = 0;  // of the models
  double running_s = 0;  // wall time without the start
  double spread = 0;     // of running_s from run to run, as a share of it
  std::int64_t windows = 0;
  int workers = 1;
};

/// @param run  models, members and cascade
MeasuredRun measure_run(const PlanOptions& options, const PredictOptions& run, const ScratchFolder& scratch);

}  // namespace whimbrel
