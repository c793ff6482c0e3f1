// `whimbrel plan`: the ensemble that scores best inside a time budget.
#include "whimbrel/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/console.h"
#include "cli/verbs.h"

namespace whimbrel::cli {
namespace {

using Json = nlohmann::ordered_json;

const std::map<std::string, CascadeMode> kCascadeModes = {
    {"auto", CascadeMode::automatic}, {"never", CascadeMode::never}, {"always", CascadeMode::always}};

struct Arguments {
  PlanOptions options;
  std::vector<std::string> models;
  std::string budget;
  std::string metric = "macro_roc_auc";
  std::string cascade = "auto";
  bool json = false;
  bool quiet = false;
};

void print_candidates(const PlanResult& result) {
  fmt::print("{:<28} {:>9} {:>12} {:>6} {:>10} {:>9} {:>8} {:>9}\n", "model", "precision", "engine", "batch", "ms/window",
             "start-up", "score", "alone");
  for (const auto& c : result.candidates) {
    fmt::print("{:<28} {:>9} {:>12} {:>6} {:>10.2f} {:>9} {:>8.4f} {:>9}\n", printable(c.name), c.precision, c.engine, c.batch,
               1000 * c.cost_s, duration_text(c.startup_s), c.score, duration_text(c.wall_s));
  }
  fmt::print("decoding and writing {:.2f} ms a window; scores by {} on {} windows\n\n", 1000 * result.decode_s,
             to_string(result.plan.metric), result.validation_windows);
}

void print_choice(const PlanResult& result) {
  const auto& plan = result.plan;
  fmt::print("chosen without the recordings that are scored ({} folds):\n", result.folds);
  fmt::print("  best single model   {:.4f}\n  best equal weights  {:.4f}\n  best weights        {:.4f}\n",
             plan.best_single_score, plan.best_equal_score, plan.best_weighted_score);
  if (plan.best_cascade_score) fmt::print("  best cascade        {:.4f}\n", *plan.best_cascade_score);
  fmt::print("\nplanned: {}\n", plan.method == "single"     ? "the best single model"
                                : plan.method == "equal"    ? "equal weights"
                                : plan.method == "weighted" ? "weights"
                                                            : "a cascade");
  for (std::size_t i = 0; i < plan.members.size(); ++i) {
    const auto& m = plan.members[i];
    const bool gate = plan.cascade && plan.cascade->gate == i;
    fmt::print("  {:>3} x {} ({}, {}, batch {}){}\n", m.weight, printable(m.name), m.precision, m.engine, m.batch,
               gate ? fmt::format(": the gate, scores every window; {:.0f} % reach {:.3g} and go on", 100 * plan.expected_share,
                                  plan.cascade->threshold)
                    : "");
  }
  fmt::print("expected score  {:.4f} ({:.4f}..{:.4f})\n", plan.expected_score, plan.score_low, plan.score_high);
  fmt::print("expected time   {} +- {} of {} for {} windows on {} core{}\n", duration_text(plan.expected_wall_s),
             duration_text(plan.wall_margin_s), duration_text(plan.budget_s), plan.workload_windows, plan.cores,
             plan.cores == 1 ? "" : "s");
}

void print_front(const Plan& plan) {
  fmt::print("\nwhat time buys (scores on the recordings that were chosen by):\n");
  for (const auto& point : plan.pareto) {
    fmt::print("  {:>8}  {:.4f}  {}\n", duration_text(point.wall_s), point.score,
               printable(fmt::format("{}", fmt::join(point.members, ", "))));
  }
}

Json plan_json(const Plan& plan) {
  Json object = {{"created", plan.created},
                 {"cpu", plan.cpu},
                 {"cores", plan.cores},
                 {"metric", to_string(plan.metric)},
                 {"budget_s", plan.budget_s},
                 {"workload_windows", plan.workload_windows},
                 {"workload_s", plan.workload_s},
                 {"expected_wall_s", plan.expected_wall_s},
                 {"wall_margin_s", plan.wall_margin_s},
                 {"expected_score", plan.expected_score},
                 {"score_low", plan.score_low},
                 {"score_high", plan.score_high},
                 {"method", plan.method},
                 {"best_single_score", plan.best_single_score},
                 {"best_equal_score", plan.best_equal_score},
                 {"best_weighted_score", plan.best_weighted_score},
                 {"best_cascade_score", plan.best_cascade_score ? Json(*plan.best_cascade_score) : Json(nullptr)}};
  for (const auto& m : plan.members) {
    object["members"].push_back({{"name", m.name},
                                 {"model", m.model.string()},
                                 {"hash_xxh3_128", m.hash},
                                 {"engine", m.engine},
                                 {"precision", m.precision},
                                 {"batch", m.batch},
                                 {"weight", m.weight},
                                 {"cost_s", m.cost_s},
                                 {"gain", m.gain}});
  }
  object["cascade"] = nullptr;
  if (plan.cascade) {
    object["cascade"] = {{"gate", plan.cascade->gate},
                         {"threshold", plan.cascade->threshold},
                         {"slope", plan.cascade->slope},
                         {"offset", plan.cascade->offset},
                         {"expected_share", plan.expected_share}};
  }
  for (const auto& point : plan.pareto)
    object["pareto"].push_back({{"wall_s", point.wall_s}, {"score", point.score}, {"members", point.members}});
  return object;
}

void print_json(const PlanResult& result) {
  Json object = {{"plan", plan_json(result.plan)}};
  for (const auto& c : result.candidates) {
    object["candidates"].push_back({{"name", c.name},
                                    {"precision", c.precision},
                                    {"engine", c.engine},
                                    {"batch", c.batch},
                                    {"cost_s", c.cost_s},
                                    {"startup_s", c.startup_s},
                                    {"score", c.score},
                                    {"wall_s", c.wall_s}});
  }
  object["decode_s"] = result.decode_s;
  object["folds"] = result.folds;
  object["validation_windows"] = result.validation_windows;
  fmt::print("{}\n", object.dump(2, ' ', false, Json::error_handler_t::replace));
}

int run(Arguments& arguments) {
  const bool quiet = arguments.quiet;
  start_console(quiet ? Verbosity::quiet : Verbosity::normal);
  auto& options = arguments.options;
  options.models = find_models(arguments.models);
  options.metric = metric_from_string(arguments.metric);
  options.cascade = kCascadeModes.at(arguments.cascade);
  options.budget_s = duration_from_string(arguments.budget);
  options.cancel = &stop_on_signals();
  options.on_progress = show_progress;
  if (!quiet) {
    options.on_step = [](const std::string& line) {
      end_progress();
      say(printable(line) + "\n");
    };
  }
  const auto result = make_plan(options);
  end_progress();
  if (arguments.json) {
    print_json(result);
  } else if (!arguments.quiet) {
    print_candidates(result);
    print_choice(result);
    print_front(result.plan);
    fmt::print("\nwrote {}; whimbrel predict RECORDINGS --plan {} --out FOLDER runs it\n", printable(options.output.string()),
               printable(options.output.string()));
  }
  return 0;
}

}  // namespace

Verb add_plan(CLI::App& root) {
  auto* app = root.add_subcommand("plan", "Choose the ensemble that scores best inside a time budget");
  auto arguments = std::make_shared<Arguments>();
  auto& o = arguments->options;
  o.output = "plan.toml";
  app->add_option("--model", arguments->models, "Manifests, model files or patterns ('folds/*.toml') to choose from")
      ->required();
  app->add_option("--validation", o.validation, "Recordings, folders, @list.txt, none of which trained a model")->required();
  app->add_option("--truth", o.truth, "What calls in them, in any form that whimbrel score reads")->required();
  app->add_option("--budget", arguments->budget, "Time for the workload, from start to the last file: 2h, 90min")->required();
  app->add_option("--workload", o.workload, "Recordings to come, folders, @list.txt, or so many of one length: 200x10min")
      ->required();
  app->add_option("--metric", arguments->metric, "What is to be best: macro_roc_auc, padded_cmap, macro_ap or micro_ap")
      ->capture_default_str();
  app->add_option("--cores", o.cores, "Cores of the machine that will run the plan; default: those allowed here")
      ->check(CLI::Range(1, 1024));
  app->add_option("--cascade", arguments->cascade,
                  "auto: a cheap gate where that scores better; never; always: the fastest that loses little")
      ->check(CLI::IsMember(kCascadeModes).description(""))
      ->capture_default_str();
  app->add_option("--max-loss", o.max_loss, "Score that --cascade always may lose")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app->add_option("-o,--output", o.output, "The plan to write")->capture_default_str();
  app->add_flag("--json", arguments->json, "Print one JSON object");
  app->add_flag("--quiet", arguments->quiet, "No progress and no summary; warnings and errors remain");
  return {app, [arguments] { return run(*arguments); }};
}

}  // namespace whimbrel::cli
