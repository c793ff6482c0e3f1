#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <map>

#include "plan/measure.h"
#include "plan/pareto.h"
#include "plan/procedures.h"
#include "plan/workload.h"
#include "whimbrel/plan.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

/// Least that a run may differ from what is expected of it: clocks of CPUs follow the weather.
constexpr double kLeastMargin = 0.05;
/// Runs of a choice that turns out slower than the sum of its parts, each followed by a more careful choice.
constexpr int kMostVerifications = 3;

void step(const PlanOptions& options, const std::string& line) {
  if (options.cancel != nullptr && options.cancel->load()) throw Error(ErrorCode::cancelled, "stopped; no plan was written");
  if (options.on_step) options.on_step(line);
}

fs::path file_of(const ModelForm& form) { return fs::weakly_canonical(form.model_path); }

/// The engine that an INT8 form was made for, where it is installed.
std::string engine_of(const ModelForm& form, EngineKind made_for) {
  const bool installed = std::ranges::find(form.engines, made_for) != form.engines.end();
  return std::string(to_string(installed ? made_for : form.engines[0]));
}

/// The files that the user named, and the INT8 models made of them, each once. Other files of the same network (TorchScript
/// beside ONNX) say the same and are left to those who name them.
std::vector<PlanForm> forms_of(const std::vector<fs::path>& models) {
  if (models.empty()) throw Error(ErrorCode::invalid_argument, "no models given, expected --model");
  std::vector<PlanForm> forms;
  std::map<fs::path, std::size_t> model_of;  // by file
  const auto first = load_manifest(models[0]);
  for (const auto& model : models) {
    const auto manifest = load_manifest(model);
    if (manifest.labels != first.labels) {
      throw Error(ErrorCode::bad_manifest, fmt::format("{}: other labels than {}, expected the same in the same order",
                                                       manifest.labels_path.string(), first.labels_path.string()));
    }
    const auto found = find_forms(model);
    const auto known = std::ranges::find_if(found, [&](const auto& f) { return model_of.contains(file_of(f)); });
    const auto index = known == found.end() ? model_of.size() : model_of.at(file_of(*known));
    for (const auto& form : found) {
      const bool named = file_of(form) == fs::weakly_canonical(manifest.model_path);
      if (form.engines.empty() || !(named || form.verdict) || !model_of.emplace(file_of(form), index).second) continue;
      const std::string engine = form.verdict && form.verdict->keep_fp32 ? engine_of(form, form.verdict->engine) : "auto";
      forms.push_back({named ? model : form.reference, form.precision, index, engine});
    }
  }
  if (forms.empty())
    throw Error(ErrorCode::unsupported, "no engine that is installed reads any of the models; see whimbrel info");
  return forms;
}

bool same_front_end(const Manifest& a, const Manifest& b) {
  return a.kind == b.kind && a.grid() == b.grid() && (a.kind == InputKind::waveform || a.mel == b.mel);
}

/// Names are how people tell models apart; where two share one, the file's name says more.
std::string name_of(const MeasuredModel& model, const std::vector<MeasuredModel>& all) {
  const auto alike = [&](const MeasuredModel& other) { return other.manifest.name == model.manifest.name; };
  return std::ranges::count_if(all, alike) < 2 ? model.manifest.name
                                               : fmt::format("{} ({})", model.manifest.name, model.form.reference.string());
}

std::vector<std::string> labels_of(const Manifest& manifest) {
  std::vector<std::string> labels;
  for (const auto& label : manifest.labels) labels.push_back(label.text);
  return labels;
}

struct Measured {
  std::vector<MeasuredModel> models;
  ValidationRows rows;
  std::vector<std::uint8_t> truth;
};

Measured measure_all(const PlanOptions& options, const std::vector<PlanForm>& forms, const ScratchFolder& scratch) {
  Measured measured;
  for (std::size_t i = 0; i < forms.size(); ++i) {
    const auto manifest = load_manifest(forms[i].reference);
    step(options, fmt::format("measuring {} ({} of {})", manifest.name, i + 1, forms.size()));
    auto model = measure_model(options, forms[i], scratch, measured.rows);
    if (measured.truth.empty()) {
      measured.truth = truth_of(options.truth, measured.rows.ids, labels_of(manifest), manifest.window_s, {.complete = true});
    }
    measured.models.push_back(std::move(model));
  }
  return measured;
}

Problem problem_of(const PlanOptions& options, const Measured& measured, const WorkloadSize& workload, double process_start_s) {
  Problem problem;
  problem.metric = options.metric;
  problem.budget_s = options.budget_s / (1 + kLeastMargin);
  problem.validation = {measured.models[0].manifest.labels.size(), measured.truth, measured.rows.recordings};
  problem.cost = {.start_s = process_start_s,
                  .windows = workload.windows,
                  .workers = options.cores > 0 ? options.cores : cpu_info().cores_allowed};
  std::vector<const Manifest*> front_ends;
  for (const auto& model : measured.models) {
    const auto same = std::ranges::find_if(front_ends, [&](const auto* f) { return same_front_end(*f, model.manifest); });
    const auto front_end = static_cast<std::size_t>(same - front_ends.begin());
    if (same == front_ends.end()) {
      front_ends.push_back(&model.manifest);
      problem.cost.front_end_s.push_back(model.front_end_s);
    }
    problem.cost.decode_s = std::max(problem.cost.decode_s, model.decode_s);
    problem.candidates.push_back(
        {name_of(model, measured.models), model.form.model, front_end, model.infer_s, model.startup_s, model.scores});
  }
  return problem;
}

std::string seconds_words(double seconds) {
  return seconds < 120 ? fmt::format("{:.1f} s", seconds) : fmt::format("{:.1f} min", seconds / 60);
}

void require_one_fits(const PlanOptions& options, const Problem& problem) {
  std::size_t cheapest = 0;
  for (std::size_t i = 0; i < problem.candidates.size(); ++i) {
    if (problem.wall_s({{i, 1}}) < problem.wall_s({{cheapest, 1}})) cheapest = i;
  }
  const double wall_s = problem.wall_s({{cheapest, 1}});
  if (wall_s <= problem.budget_s) return;
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format(
          "budget {}, but even {}, the cheapest, needs about {} (with a margin of {:.0f} %) for {} windows on {} cores; "
          "allow that, or bring a smaller model; predict --budget with it still ends in time and completely, the "
          "windows not reached filled",
          seconds_words(options.budget_s), problem.candidates[cheapest].name, seconds_words(wall_s * (1 + kLeastMargin)),
          100 * kLeastMargin, problem.cost.windows, problem.cost.workers));
}

/// The choice as predict() takes it, in the order of its picks.
PredictOptions run_of(const Measured& measured, const Chosen& chosen) {
  PredictOptions run;
  for (const auto& [index, times] : chosen.picks) {
    const auto& model = measured.models[index];
    if (chosen.cascade && chosen.cascade->gate == index) {
      run.cascade = chosen.cascade;
      run.cascade->gate = run.models.size();
    }
    run.models.push_back(model.form.reference);
    run.members.push_back({.weight = static_cast<double>(times),
                           .engine = model.engine,
                           .batch = model.batch,
                           .cost_s = model.infer_s,
                           .model_hash = model.hash});
  }
  return run;
}

std::optional<PassShare> pass_of(const Chosen& chosen) {
  return chosen.cascade ? std::optional(PassShare{chosen.cascade->gate, chosen.share}) : std::nullopt;
}

/// What was chosen, and what a run of it took.
struct Verified {
  Comparison comparison;
  double wall_s = 0;
  double margin_s = 0;
};

/// Chooses and runs the choice; while that is too slow for the budget, expects more of the next one.
Verified choose_and_verify(const PlanOptions& options, const Measured& measured, const ScratchFolder& scratch, Problem& problem,
                           Selector& selector) {
  const CascadeOptions cascade{options.cascade, options.max_loss};
  for (int verification = 1;; ++verification) {
    step(options, fmt::format("choosing among {} candidates", problem.candidates.size()));
    Verified verified{.comparison = compare_procedures(problem, selector, cascade)};
    const auto& chosen = verified.comparison.chosen;
    step(options, "running the choice");
    const auto run = measure_run(options, run_of(measured, chosen), scratch);

    CostModel here = problem.cost;
    here.workers = run.workers;
    here.windows = run.windows;
    here.start_s = 0;
    Problem parts{.cost = here};
    for (const auto& c : problem.candidates) parts.candidates.push_back({c.name, c.model, c.front_end, c.cost_s, 0, {}});
    const double slower = run.running_s / parts.wall_s(chosen.picks, pass_of(chosen));
    const double windows_share = static_cast<double>(problem.cost.windows) / static_cast<double>(run.windows);
    verified.wall_s = problem.cost.start_s + run.startup_s + run.running_s * windows_share * run.workers / problem.cost.workers;
    verified.margin_s = std::max(kLeastMargin, run.spread) * verified.wall_s;
    problem.cost.slowdown *= slower;
    if (verified.wall_s + verified.margin_s <= options.budget_s) return verified;
    if (verification == kMostVerifications) {
      log(LogLevel::warning,
          fmt::format("the choice takes {} +- {}, which may pass the budget of {}: is the machine busy?",
                      seconds_words(verified.wall_s), seconds_words(verified.margin_s), seconds_words(options.budget_s)));
      return verified;
    }
    require_one_fits(options, problem);
  }
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now));
}

void set_members(const Measured& measured, const Problem& problem, const Chosen& chosen, Selector& selector, Plan& plan) {
  const auto run = run_of(measured, chosen);
  const auto gains = gains_of(selector, chosen.picks);
  std::size_t at = 0;
  for (const auto& [index, times] : chosen.picks) {
    const auto& model = measured.models[index];
    plan.members.push_back({model.form.reference, problem.candidates[index].name, model.hash, model.engine,
                            model.form.precision, model.batch, static_cast<double>(times), model.infer_s, gains[at++]});
  }
  plan.cascade = run.cascade;
  plan.expected_share = chosen.share;
}

Plan plan_of(const PlanOptions& options, const Measured& measured, const Problem& problem, const WorkloadSize& workload,
             const Verified& verified, Selector& selector) {
  const auto& comparison = verified.comparison;
  Plan plan{.whimbrel = WHIMBREL_VERSION,
            .created = utc_now(),
            .cpu = cpu_info().model,
            .cores = problem.cost.workers,
            .metric = options.metric,
            .budget_s = options.budget_s,
            .workload_windows = workload.windows,
            .workload_s = workload.audio_s,
            .expected_wall_s = verified.wall_s,
            .wall_margin_s = verified.margin_s,
            .expected_score = comparison.score,
            .score_low = comparison.low,
            .score_high = comparison.high,
            .method = std::string(to_string(comparison.best)),
            .best_single_score = comparison.of(Procedure::single),
            .best_equal_score = comparison.of(Procedure::equal),
            .best_weighted_score = comparison.of(Procedure::weighted),
            .best_cascade_score = comparison.scores[static_cast<std::size_t>(Procedure::cascade)]};
  set_members(measured, problem, comparison.chosen, selector, plan);
  for (const auto& point : pareto_front(problem, selector)) {
    ParetoPoint named{point.wall_s, point.score, {}};
    for (const auto& [index, times] : point.picks) named.members.push_back(problem.candidates[index].name);
    plan.pareto.push_back(std::move(named));
  }
  return plan;
}

}  // namespace

PlanResult make_plan(const PlanOptions& options) {
  const double process_start_s = std::min(1.0, seconds_between(process_start(), Clock::now()));
  const auto forms = forms_of(options.models);
  if (!fs::exists(options.truth)) throw Error(ErrorCode::not_found, fmt::format("{}: no such truth", options.truth.string()));
  const auto workload = measure_workload(options.workload, load_manifest(forms[0].reference).grid());
  const ScratchFolder scratch(options.output);
  const auto measured = measure_all(options, forms, scratch);
  auto problem = problem_of(options, measured, workload, process_start_s);
  require_one_fits(options, problem);
  Selector selector(problem);  // what is learned of costs on the way changes no score
  const auto verified = choose_and_verify(options, measured, scratch, problem, selector);
  PlanResult result{.plan = plan_of(options, measured, problem, workload, verified, selector)};
  result.decode_s = problem.cost.decode_s;
  result.folds = verified.comparison.folds;
  result.validation_windows = static_cast<std::int64_t>(measured.rows.ids.size());
  for (std::size_t i = 0; i < problem.candidates.size(); ++i) {
    const auto& model = measured.models[i];
    result.candidates.push_back({problem.candidates[i].name, model.form.precision, model.engine, model.batch, model.infer_s,
                                 model.startup_s, selector.score({{i, 1}}), problem.wall_s({{i, 1}})});
  }
  write_plan(result.plan, options.output);
  return result;
}

}  // namespace whimbrel
