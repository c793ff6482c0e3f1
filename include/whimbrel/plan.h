// Plan: what a model costs on this machine in every engine, precision, batch and number of workers; and which models to run,
// how, and with what weights, so that a workload is scored best within a time budget.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "whimbrel/core.h"
#include "whimbrel/engines.h"
#include "whimbrel/pipeline.h"
#include "whimbrel/score.h"

namespace whimbrel {

struct BenchOptions {
  std::vector<std::filesystem::path> models;  // manifests or model files, each with all its forms (find_forms)
  /// Every batch of 1, 2, 4, 8, 16 with 1, 2, 4, ... workers. Else batches 1 and 4 on all cores, and for each form the batch
  /// next to the better one.
  bool full = false;
  std::vector<EngineKind> engines;      // empty: all that read a form
  std::vector<int> batches;             // empty: searched
  std::vector<int> workers;             // empty: all cores allowed, or the steps of `full`
  double seconds = 4;                   // that each row is measured for, start-up not counted
  std::vector<std::string> recordings;  // to compare outputs on; empty: noise
  std::filesystem::path program;        // whimbrel itself, which runs each row in a process of its own; empty: this program
  std::function<void(const std::string&)> on_step;  // one line for each step
  const std::atomic<bool>* cancel = nullptr;        // set it to true for an early end: Error{cancelled}
};

/// An estimate and its 95 % confidence interval.
struct Estimate {
  double value = 0;
  double low = 0;
  double high = 0;
};

/// A form of a model in one engine at one batch with so many workers.
struct BenchRow {
  std::size_t form = 0;  // of BenchModel::forms
  EngineKind engine = EngineKind::onnxruntime;
  int batch = 1;
  int workers = 1;
  std::string error;          // why it could not be measured; the rest is then 0
  Estimate windows_per_s;     // of all workers; median of the rounds
  double latency_p50_ms = 0;  // of one inference of the whole batch, one worker at a time
  double latency_p90_ms = 0;
  double latency_p99_ms = 0;
  double start_s = 0;            // from the start of a process to an open session
  double first_inference_s = 0;  // the first run after that
  std::int64_t peak_rss_bytes = 0;
  std::optional<double> peak_share;  // of this CPU's peak on so many cores; absent where the model's operations are unknown
  // Raw clip-wise outputs against those of BenchModel::reference.
  double max_difference = 0;
  double sqnr_db = 0;                  // infinite where they are equal
  std::optional<Agreement> agreement;  // with recordings
};

struct BenchForm {
  ModelForm form;
  std::string hash;  // XXH3-128 of the file
  std::int64_t file_bytes = 0;
  std::int64_t parameters = 0;  // 0: unknown
  std::int64_t macs = 0;        // of one window; 0: unknown
};

struct BenchModel {
  std::string name;
  std::vector<BenchForm> forms;
  std::vector<BenchRow> rows;            // fastest first, then those that failed
  std::optional<std::size_t> best;       // of rows
  std::optional<std::size_t> reference;  // row that outputs are compared with: the first engine's FP32
  std::string ranking;                   // what can be said of the two fastest rows
  std::int64_t compared_windows = 0;
};

struct BenchResult {
  CpuInfo cpu;
  std::vector<EngineStatus> engines;
  std::vector<BenchModel> models;
  double fma_per_s = 0;      // peak of one core, 2 for each multiply-add, while all cores run
  double integer_per_s = 0;  // 0: no integer loop for this CPU
  std::string integer_loop;  // instructions of it
  double unsteadiness = 0;   // spread of the FMA loop over the rounds: (largest - smallest) / median
  bool steady = true;
  int rounds = 0;
  double seconds = 0;
  bool on_recordings = false;  // what outputs were compared on
};

/// Measures every row in a process of its own, all rows of a model in turn, round after round, so that a drift of the machine
/// meets all alike. The best setting of each form is kept for predict(), unless engines, batches or workers are narrowed.
/// A row that fails, or whose process dies, is a row with its reason.
/// @throws Error{not_found}, Error{bad_manifest} for models that are none, Error{unsupported} where no engine reads one,
/// Error{invalid_argument}, Error{cancelled}
BenchResult bench(const BenchOptions& options);

/// The whole result as JSON text, or as CSV with a row for each row.
std::string bench_json(const BenchResult& result);
std::string bench_csv(const BenchResult& result);

/// What the process of one row does: `whimbrel bench-row`. Obeys lines of JSON on standard input until it ends.
/// @return  exit code
int serve_bench_row();

/// Whether a cheap member may decide which windows the others see.
enum class CascadeMode {
  automatic,  // where that scores better within the budget
  never,
  always,  // the fastest one that loses little against the ensemble without a gate
};

struct PlannedMember {
  std::filesystem::path model;  // manifest
  std::string name;
  std::string hash;       // file_hash() of the model file
  std::string engine;     // an engine's name
  std::string precision;  // "fp32", "int8"
  int batch = 1;
  double weight = 1;
  double cost_s = 0;  // of one worker for a window
  double gain = 0;    // validation score that the ensemble loses without it
};

struct ParetoPoint {
  double wall_s = 0;
  double score = 0;                  // on the validation recordings, by which it was chosen
  std::vector<std::string> members;  // names
};

/// What plan.toml holds; docs/planning.md describes every key.
struct Plan {
  std::string whimbrel;  // version
  std::string created;   // UTC, "2026-11-25T03:00:00Z"
  std::string cpu;       // CpuInfo::model
  int cores = 1;         // of the machine that it is for
  Metric metric = Metric::macro_roc_auc;
  double budget_s = 0;
  std::int64_t workload_windows = 0;
  double workload_s = 0;  // audio
  double expected_wall_s = 0;
  double wall_margin_s = 0;
  double expected_score = 0;  // on recordings that were not chosen by, with its 90 % interval
  double score_low = 0;
  double score_high = 0;
  std::string method;            // "single", "equal", "weighted" or "cascade": which one was taken
  double best_single_score = 0;  // held-out scores of the ways to choose
  double best_equal_score = 0;
  double best_weighted_score = 0;
  std::optional<double> best_cascade_score;
  std::vector<PlannedMember> members;
  std::optional<Cascade> cascade;   // its gate is an index of `members`
  double expected_share = 1;        // of the windows that pass the gate
  std::vector<ParetoPoint> pareto;  // sorted by time
};

/// @throws Error{not_found}, Error{io}, Error{invalid_argument} for a file above 1 MiB, Error{bad_manifest} with file and line:
/// not TOML, keys missing or unknown (with the closest known one), values of another type or out of range
Plan read_plan(const std::filesystem::path& path);

/// Model paths become relative to the plan's folder. @throws Error{io}
void write_plan(const Plan& plan, const std::filesystem::path& path);

/// Sets models, members and cascade of a run. A plan from another CPU loses its engines, batches and costs with a warning: the
/// run then chooses and measures its own.
/// @throws Error{bad_manifest} when a model is not the one that was planned, Error{invalid_argument} when `options` names
/// models
void apply_plan(const Plan& plan, PredictOptions& options);

struct PlanOptions {
  std::vector<std::filesystem::path> models;  // each with its INT8 form where there is one
  std::vector<std::string> validation;        // recordings, folders, "@list.txt"
  std::filesystem::path truth;                // of the validation recordings
  Metric metric = Metric::macro_roc_auc;
  double budget_s = 0;
  std::vector<std::string> workload;  // recordings, folders, or one "200x10min"
  std::filesystem::path output;       // plan.toml; its folder also holds what is written while measuring
  int cores = 0;                      // of the machine that will run the plan; 0: those allowed here
  CascadeMode cascade = CascadeMode::automatic;
  double max_loss = 0.002;  // of score, by a cascade that is asked for
  std::function<void(const std::string&)> on_step;
  std::function<void(const Progress&)> on_progress;
  const std::atomic<bool>* cancel = nullptr;
};

/// A model as it was measured.
struct CandidateReport {
  std::string name;
  std::string precision;
  std::string engine;
  int batch = 1;
  double cost_s = 0;  // of one worker for a window, without decoding and front end
  double startup_s = 0;
  double score = 0;   // on all validation recordings
  double wall_s = 0;  // of the workload by it alone
};

struct PlanResult {
  Plan plan;
  std::vector<CandidateReport> candidates;
  double decode_s = 0;  // of one worker for a window; what all models share
  std::size_t folds = 0;
  std::int64_t validation_windows = 0;
};

/// Measures, chooses, verifies by a run of the choice, and writes `output`.
/// @throws Error as predict(); Error{invalid_argument} for truth that does not fit, recordings that cannot be read, or a budget
/// that not even the cheapest model keeps (says how long that one takes); Error{bad_manifest} for models that differ in labels
/// or windows; Error{cancelled}
PlanResult make_plan(const PlanOptions& options);

}  // namespace whimbrel
