// Pipeline: recordings and models in, scores and detections out. Decode, front end and inference overlap on every core.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "whimbrel/audio.h"
#include "whimbrel/core.h"
#include "whimbrel/engines.h"
#include "whimbrel/models.h"
#include "whimbrel/quantize.h"
#include "whimbrel/score.h"

namespace whimbrel {

/// Where a run stands; given to PredictOptions::on_progress from one worker at a time, at most about ten times a second.
struct Progress {
  std::size_t recordings_done = 0;
  std::size_t recordings_total = 0;
  std::int64_t windows_done = 0;
  double windows_per_s = 0;
  double eta_s = 0;  // from the recordings done so far; 0 while none is
};

/// What a plan fixes for one member of an ensemble.
struct MemberSettings {
  double weight = 0;       // 0: the manifest's
  std::string engine;      // empty: PredictOptions::engine
  int batch = 0;           // 0: chosen with the engine
  double gain = 0;         // validated score that the ensemble loses without it; 0: unknown
  double cost_s = 0;       // seconds of one worker per window; 0: unknown
  std::string model_hash;  // file_hash() of the model that was planned; empty: any
};

/// One cheap member scores every window; the others only those that may hold something.
struct Cascade {
  std::size_t gate = 0;  // index of the cheap member
  double threshold = 0;  // the others run where the gate's largest probability of a class is at least this
  /// Elsewhere the score is sigmoid(slope * logit(p) + offset) of the gate's p.
  double slope = 1;
  double offset = 0;
};

/// What a plan expects of the run: for the record, beside what came of it.
struct Expectation {
  double wall_s = 0;
  double wall_margin_s = 0;
  std::int64_t windows = 0;
  double score = 0;
};

/// How members' scores become one. docs/postprocessing.md has the formulas.
enum class Mean { arithmetic, geometric, power, rank };

/// @throws Error{invalid_argument} for another word than the names above (with the closest)
Mean mean_from_string(std::string_view word);
Prior prior_from_string(std::string_view word);
std::string_view to_string(Mean mean);
std::string_view to_string(Prior prior);

/// What replaces the [postprocess] of the first model's manifest; what is absent or empty is the manifest's.
struct PostProcessOverrides {
  bool ignore_manifest = false;  // begin with none of it
  std::optional<std::vector<double>> smooth;
  std::optional<Prior> prior;
  std::optional<double> prior_power;
  std::optional<double> merge_gap_s;
  std::filesystem::path species_list;
  std::filesystem::path thresholds;
  bool events = false;  // detections come from the frame-wise output
  std::optional<int> event_median_frames;
  std::optional<double> event_high;
  std::optional<double> event_low;
  std::optional<std::vector<double>> tta_shifts_s;
};

/// What to do with the run that was ended before it was done in the same folder.
enum class Resume {
  off,     // forget it
  strict,  // go on with it, unless models, settings or a recording that it finished have changed
  redo,    // go on with it, and score anew what has changed
};

/// A recording that is in memory.
struct Samples {
  std::string name;         // as results name it
  std::vector<float> mono;  // in [-1, 1]
  int sample_rate_hz = 0;
};

struct Prediction;

struct PredictOptions {
  std::vector<std::string> inputs;            // recordings, folders (searched recursively), "@list.txt" (one path a line)
  std::vector<std::filesystem::path> models;  // manifests or model files; more than one is an ensemble
  std::vector<MemberSettings> members;        // empty, or one for each of `models`
  std::optional<Cascade> cascade;
  std::optional<Expectation> expected;
  double budget_s = 0;  // from `start` to the last file written; 0: none
  Clock::time_point start = process_start();
  std::filesystem::path out_dir;
  Prediction* keep = nullptr;   // receives what is found; then nothing is written, and formats and out_dir do not count
  std::string engine = "auto";  // or an engine's name
  int threads = 0;              // workers; 0: one per core allowed
  /// As many workers as fit, fewer while it is passed, and a clean early end where one still passes it; 0: no limit.
  std::int64_t max_memory_bytes = 0;
  int batch = 0;            // windows an inference; 0: chosen with the engine
  double window_hop_s = 0;  // 0: the manifest's
  std::vector<std::string> formats = {"csv"};
  double threshold = 0.1;  // detections are scores at or above it
  int top_k = 0;           // most detections a window; 0: all
  PostProcessOverrides post;
  bool embeddings = false;     // embeddings.npy beside the formats
  bool absolute_time = false;  // formats say when, where recordings say when they began
  Mean mean = Mean::arithmetic;
  double mean_power = 2;  // of Mean::power
  std::filesystem::path sample_submission;
  int shard_index = 1;  // of shard_count, from 1: every shard_count-th recording
  int shard_count = 1;
  Resume resume = Resume::off;
  double decode_timeout_s = 60;  // a recording that gives nothing for so long is given up
  std::function<void(const Progress&)> on_progress;
  const std::atomic<bool>* cancel = nullptr;  // set it to true for a clean early end
};

enum class RecordingState {
  done,
  partial,    // damaged inside, or decoding stopped before the end: what was decoded is scored and written
  failed,     // nothing of it is in the output
  cancelled,  // not reached, or not finished, when the run was asked to stop or its time was over
};
std::string_view to_string(RecordingState state);

/// One row of the run's ledger.
struct RecordingResult {
  std::filesystem::path path;
  RecordingState state = RecordingState::cancelled;
  std::string error;  // empty when done
  std::int64_t windows = 0;
  double decoded_s = 0;
  int sample_rate_hz = 0;
  int channels = 0;
  std::string codec;
  std::int64_t non_finite_samples = 0;
  std::optional<RecordingTime> began;  // of a recording that the run came to
  bool resumed = false;                // scored by an earlier run
  std::int64_t filled = 0;  // windows more that the time budget did not reach: they hold the mean of all that were scored
};

/// When the workers did what: seconds of all of them in each bucket of time, from the opening of the first recording.
struct StageTimeline {
  double bucket_s = 0;
  std::vector<double> decode_s;
  std::vector<double> front_end_s;
  std::vector<double> infer_s;
  std::vector<double> write_s;
};

/// Seconds that the workers spent in each stage, summed over workers; start_s is wall clock before the first recording was
/// opened.
struct StageTimes {
  double start_s = 0;
  double decode_s = 0;  // with downmix, resampling and windowing
  double front_end_s = 0;
  double infer_s = 0;
  double write_s = 0;
  double wait_s = 0;

  StageTimes& operator+=(const StageTimes& other);
};

struct MemberResult {
  std::string name;
  std::filesystem::path model_path;
  std::string model_hash;  // XXH3-128 of the model file
  std::string engine;
  std::string engine_version;
  int batch = 0;
  double weight = 1;
  double shift_s = 0;  // test-time augmentation: hears each window so much later
  bool opened = true;  // false: the time budget left no time to open it
  double probe_difference = 0;
  bool rows_independent = true;
  std::int64_t retried = 0;     // batches on which its engine failed and this one did not:
  std::string fallback_engine;  // empty: none
};

/// A member that a time budget dropped for the windows to come, or took back.
struct BudgetChange {
  std::size_t member = 0;  // of PredictResult::members
  bool dropped = true;
  double at_s = 0;  // after the start of the process
  std::int64_t windows_read = 0;
  std::int64_t windows_expected = 0;  // of the whole run
};

struct PredictResult {
  std::vector<RecordingResult> recordings;  // in input order
  std::vector<MemberResult> members;
  std::vector<std::string> labels;           // classes, in the order of scores
  std::vector<std::filesystem::path> files;  // written, with run.json
  std::int64_t windows = 0;                  // scored
  std::int64_t windows_resumed = 0;          // of them by an earlier run
  std::int64_t windows_read = 0;             // at most so many more when the run was stopped
  std::int64_t rows_filled = 0;
  PostProcess post;  // as it was applied
  int workers = 0;
  double wall_s = 0;
  double cpu_s = 0;
  std::int64_t peak_rss_bytes = 0;
  StageTimes stages;
  StageTimeline timeline;
  bool cancelled = false;    // asked to stop, or, without a budget, stopped by itself
  bool out_of_time = false;  // the budget ended, or the run by itself, before at least one member had scored all windows
  std::string stop_reason;   // why by itself
  std::vector<BudgetChange> budget_changes;

  std::size_t count(RecordingState state) const;
  /// False: the journal stays, for --resume.
  bool complete() const { return !cancelled && !out_of_time && count(RecordingState::failed) == 0; }
};

/// Scores every recording with every model and writes `formats` and run.json into out_dir.
///
/// Output is in input order and the same to the bit for any number of workers. Memory depends on the workers, the batch and the
/// models, not on the recordings. A bad recording is a row of the result, never an exception. While it runs, out_dir holds a
/// journal of what was scored, which stays where the run is ended early or recordings fail: Resume.
/// @throws Error before anything is written when options, models or inputs cannot be used; Error{engine} or Error{io} when the
/// run itself cannot go on
PredictResult predict(const PredictOptions& options);

/// A call of a decoder or an engine that never returned was left behind with its thread: end the process by std::_Exit(), as
/// what other ways of ending it would take down is still in use.
bool threads_left_behind();

/// What predict() found, in memory.
struct Prediction {
  /// A class was found from `start` to `end`: samples of the recording at grid.sample_rate_hz.
  struct Found {
    std::uint32_t recording = 0;  // of run.recordings
    std::uint32_t label = 0;
    std::int64_t start = 0;
    std::int64_t end = 0;
    float confidence = 0;
  };

  PredictResult run;
  std::vector<Label> labels;
  WindowGrid grid;
  std::vector<float> scores;             // [windows, classes], after post-processing; recordings in input order
  std::vector<std::uint32_t> recording;  // [windows] of run.recordings
  std::vector<std::int64_t> window;      // [windows] index within its recording
  std::vector<std::uint8_t> filled;      // [windows] 1: not scored, holds the mean of each class
  std::vector<float> embeddings;         // [scored windows, embedding_size]
  std::size_t embedding_size = 0;
  std::vector<Found> detections;                // by recording, in the order in which formats list them
  std::vector<std::filesystem::path> relative;  // per recording: below the folder that was given
  std::string record;                           // what run.json would hold
};

/// What one call of Predictor::predict() is about.
struct PredictRequest {
  std::vector<std::string> inputs;  // as PredictOptions::inputs
  std::vector<Samples> samples;     // recordings in memory, after those of `inputs`
  double budget_s = 0;              // from the call; 0: none
  std::function<void(const Progress&)> on_progress;
  const std::atomic<bool>* cancel = nullptr;
};

/// Models that stay open, for many runs whose results are wanted in memory. Thread-safe: calls wait for each other.
class Predictor {
 public:
  /// Opens the models of `options`; what is about recordings and files does not count.
  /// @throws Error as predict(), of models and options
  explicit Predictor(PredictOptions options);
  ~Predictor();

  /// @throws Error as predict(), of inputs and the run itself; a bad recording is a row of Prediction::run
  Prediction predict(const PredictRequest& request);

  const std::vector<Label>& labels() const;
  const WindowGrid& grid() const;  // of the first model

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Writes what was found in `formats`, byte for byte as predict() does. Returns the files.
/// @throws Error{invalid_argument}, Error{not_found}, Error{io} as predict(), of formats and out_dir
std::vector<std::filesystem::path> write_prediction(const Prediction& prediction, const std::vector<std::string>& formats,
                                                    const std::filesystem::path& out_dir,
                                                    const std::filesystem::path& sample_submission = {},
                                                    bool absolute_time = false);

/// Recordings as the user named them: folders searched recursively, "@list.txt" with one path a line, each once, in the order
/// in which a run takes them.
/// @throws Error{not_found} for what is not there, Error{invalid_argument} when there is no recording at all
std::vector<std::filesystem::path> recording_paths(const std::vector<std::string>& inputs);

/// Model references as the user named them, with patterns ("folds/*.toml", as glob(7)) expanded in byte order.
/// @throws Error{not_found} for a pattern that matches nothing
std::vector<std::filesystem::path> find_models(const std::vector<std::string>& references);

/// What makes a window positive where the truth gives times. docs/scoring.md has the forms of truth.
struct TruthOptions {
  /// An event counts in every window that it overlaps by at least this, or by half of itself where that is less.
  double min_overlap_s = 0.05;
  /// Truth of other recordings or windows than those asked for is an error.
  bool complete = false;
};

/// Truth of some windows from any form of it: one-hot or `row_id,label` CSV, event CSV, a Raven table or a folder of them, told
/// apart by what they hold. The truth may know more recordings than are asked for.
///
/// @param row_ids   "<stem>_<window end in whole seconds>"
/// @param classes   as in a labels file; events name them by the whole label, the scientific or the common name
/// @param window_s  length of a window; used by forms with times only
/// @return          [rows, classes] row-major, 0 or 1, in the order of `row_ids` and `classes`
/// @throws Error{not_found}; Error{invalid_argument} for a header that is no known form, a class that only one side has, a row
/// without one-hot truth, cells that are no numbers, and when nothing is positive, with file and place
std::vector<std::uint8_t> truth_of(const std::filesystem::path& truth, std::span<const std::string> row_ids,
                                   const std::vector<std::string>& classes, double window_s, const TruthOptions& options = {});

struct JoinOptions {
  double window_s = 0;  // 0: the smallest difference between the ends of two windows of one recording
  TruthOptions truth;
};

/// A submission (row_id + one column a class) beside its truth, in any form of truth_of(). Rows and classes are in the
/// submission's order. Memory: the result and an index of row ids.
/// @throws Error as truth_of(); Error{invalid_argument} also for truth of recordings or rows that the predictions have not, a
/// prediction that is no finite number, a row twice, and a window length that row ids do not tell
ScoredTable join_predictions(const std::filesystem::path& predictions, const std::filesystem::path& truth,
                             const JoinOptions& options = {});

struct QuantizeRunOptions {
  std::filesystem::path model;         // manifest, or .onnx with its manifest beside it
  std::filesystem::path output;        // .onnx, or .xml for OpenVINO; its manifest and probe come beside it
  std::vector<std::string> calibrate;  // recordings, folders, "@list.txt"
  /// Recordings to certify on. Empty: every second one of `calibrate`, or the second half of a single one, which calibration
  /// then does not see.
  std::vector<std::string> certify;
  std::string target = "auto";  // or an engine's name
  QuantizeIsa isa = QuantizeIsa::native;
  std::optional<Observer> observer;
  std::vector<std::string> keep;
  int samples = 300;               // most windows to calibrate on, drawn evenly
  std::optional<double> max_drop;  // absent: 0.005 of macro ROC-AUC with truth, 0.02 of top-1 agreement without
  std::filesystem::path truth;     // as truth_of() reads it; empty: agreement counts
  double threshold = 0.5;
  int threads = 0;
  std::function<void(const std::string&)> on_step;
  const std::atomic<bool>* cancel = nullptr;
};

struct QuantizeRunResult {
  Certificate certificate;
  std::vector<std::filesystem::path> files;  // written: model (and weights), manifest, probe
};

/// Reads windows of real recordings as predict() does and quantizes a model on them.
/// @throws as quantize_model(); Error{invalid_argument} for an output that would replace the float model or its manifest, for
/// truth that does not know a window's row or a class, and when no recording can be read
QuantizeRunResult quantize_recordings(const QuantizeRunOptions& options);

/// A file that a model can be run from.
struct ModelForm {
  std::filesystem::path reference;   // what to name as --model
  std::filesystem::path model_path;  // of the file
  std::string name;                  // its manifest's
  std::string precision;             // "fp32", "int8", "fp16 weights"
  std::vector<EngineKind> engines;   // installed ones that read it
  std::optional<Verdict> verdict;    // of `whimbrel quantize`
};

/// All forms of a model: its own file; files of the same stem beside it that share the manifest; and INT8 models beside it that
/// `whimbrel quantize` made of exactly this file. For such an INT8 model they are those of the float model that lies beside it.
/// @throws as load_manifest()
std::vector<ModelForm> find_forms(const std::filesystem::path& reference);

/// Speed of a model file in one setting.
struct TunedSetting {
  EngineKind engine = EngineKind::onnxruntime;
  int batch = 1;
  double windows_per_s = 0;
};

/// Keeps settings of a model file as measured on this CPU, the best one first, for later runs with engine "auto". A place that
/// cannot be written is logged.
void remember_settings(const std::filesystem::path& model, const Shape& row_shape, const std::vector<TunedSetting>& settings);

/// Reads windows of recordings as predict() does and writes at most `most` of them, spread evenly, as float32 rows of a model's
/// input to `file`. Returns their number.
/// @throws Error{not_found}, Error{bad_manifest}, Error{io}; Error{invalid_argument} when no recording can be read
std::int64_t write_windows(const std::filesystem::path& model, const std::vector<std::string>& recordings, std::size_t most,
                           const std::filesystem::path& file);

}  // namespace whimbrel
