// Plan: which models to run, how, and with what weights, so that a workload is scored best within a time budget.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "plan/stand_ins.h"
#include "whimbrel/pipeline.h"

namespace whimbrel {

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
