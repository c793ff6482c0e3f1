// `whimbrel predict`
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/console.h"
#include "cli/python_verbs.h"
#include "cli/verbs.h"
#include "whimbrel/io.h"
#include "whimbrel/pipeline.h"
#include "whimbrel/plan.h"

namespace whimbrel::cli {
namespace {

struct Arguments {
  PredictOptions options;
  std::vector<std::string> models;
  std::string shard;
  std::string plan;
  std::string budget;
  std::string max_memory;
  std::string mean;
  std::string prior;
  std::string resume;
  std::string decode_timeout;
  bool json = false;
  bool quiet = false;
};

void parse_shard(const std::string& text, PredictOptions& options) {
  const auto slash = text.find('/');
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, options.shard_index);
  if (slash == std::string::npos || first.ptr != text.data() + slash ||
      std::from_chars(first.ptr + 1, end, options.shard_count).ptr != end) {
    throw Error(ErrorCode::invalid_argument, fmt::format("--shard {}, expected I/N, such as 2/8", text));
  }
}

void parse_words(const Arguments& arguments, PredictOptions& options) {
  if (!arguments.mean.empty()) options.mean = mean_from_string(arguments.mean);
  if (!arguments.resume.empty()) options.resume = arguments.resume == "redo" ? Resume::redo : Resume::strict;
  if (!arguments.prior.empty()) options.post.prior = prior_from_string(arguments.prior);
}

/// "decode 4 %  front end 3 %  inference 91 %  writing 1 %  waiting 1 %" of the workers' time.
std::string stage_text(const StageTimes& stages) {
  const double total = stages.decode_s + stages.front_end_s + stages.infer_s + stages.write_s + stages.wait_s;
  const auto share = [&](double part) { return total > 0 ? 100 * part / total : 0; };
  return fmt::format("decode {:.0f} %, front end {:.0f} %, inference {:.0f} %, writing {:.0f} %, waiting {:.0f} %",
                     share(stages.decode_s), share(stages.front_end_s), share(stages.infer_s), share(stages.write_s),
                     share(stages.wait_s));
}

void print_summary(const PredictResult& result) {
  const double running = result.wall_s - result.stages.start_s;
  double decoded_s = 0;
  for (const auto& recording : result.recordings) decoded_s += recording.decoded_s;
  fmt::print("{} of {} recordings done, {} windows in {} ({:.1f} windows/s, {:.0f}x real time, {} worker{})\n",
             result.count(RecordingState::done), result.recordings.size(), result.windows, duration_text(result.wall_s),
             running > 0 ? static_cast<double>(result.windows - result.windows_resumed) / running : 0,
             decoded_s / result.wall_s, result.workers, result.workers == 1 ? "" : "s");
  for (const auto& member : result.members) {
    if (member.shift_s != 0) continue;
    fmt::print("  model  {} ({} {}, batch {})\n", printable(member.name), member.engine, member.engine_version, member.batch);
  }
  fmt::print("  time   start {}, then {}\n", duration_text(result.stages.start_s), stage_text(result.stages));
  fmt::print("  cpu    {:.0f} % of {} core{}, peak memory {}\n", 100 * result.cpu_s / (result.wall_s * result.workers),
             result.workers, result.workers == 1 ? "" : "s", size_text(static_cast<double>(result.peak_rss_bytes)));
  if (result.rows_filled > 0)
    fmt::print("  filled {} rows that were not scored, with the mean of each class\n", result.rows_filled);
  for (const auto& file : result.files) fmt::print("  wrote  {}\n", printable(file.string()));
}

/// What the time budget cost, on stderr: members that were dropped, once each, and how many windows went without one.
void print_budget(const PredictResult& result) {
  for (std::size_t m = 0; m < result.members.size(); ++m) {
    const auto of_m = [m](const BudgetChange& change) { return change.member == m; };
    const auto first = std::ranges::find_if(result.budget_changes, of_m);
    if (!result.members[m].opened) say(fmt::format("budget: {} was not opened\n", printable(result.members[m].name)));
    if (first == result.budget_changes.end() || result.members[m].shift_s != 0) continue;
    std::int64_t without = 0;
    std::int64_t since = -1;
    for (const auto& change : result.budget_changes) {
      if (!of_m(change)) continue;
      if (change.dropped)
        since = change.windows_read;
      else
        without += change.windows_read - std::exchange(since, -1);
    }
    if (since >= 0) without += result.windows_read - since;
    say(fmt::format("budget: {} dropped after {}, and scored all but {} of {} windows\n", printable(result.members[m].name),
                    duration_text(first->at_s), without, result.windows_read));
  }
  if (!result.out_of_time) return;
  std::int64_t missing = 0;
  for (const auto& recording : result.recordings) missing += recording.filled;
  say(fmt::format("budget: the {} before {} windows were scored{}\n",
                  result.stop_reason.empty() ? "time ran out" : "run stopped by itself", missing,
                  result.rows_filled > 0 ? "; their rows hold the mean of each class" : ""));
}

void print_retried(const PredictResult& result) {
  for (const auto& member : result.members) {
    if (member.retried == 0) continue;
    say(fmt::format("engine: {} failed on {} batch{} of {}, which {} ran instead\n", member.engine, member.retried,
                    member.retried == 1 ? "" : "es", printable(member.name), member.fallback_engine));
  }
}

/// Names on stderr what is missing from the output. Reasons were logged when they happened.
void print_missing(const PredictResult& result) {
  if (result.count(RecordingState::done) == result.recordings.size()) return;
  const auto part = [&](RecordingState state, const char* text) {
    const auto n = result.count(state);
    return n == 0 ? std::string() : fmt::format(" {} {},", n, text);
  };
  std::string line = part(RecordingState::failed, "failed") + part(RecordingState::partial, "only in part") +
                     part(RecordingState::cancelled, "not reached");
  line.pop_back();
  say(fmt::format("{}incomplete:{} of {} recordings; run.json names each with its reason{}\n",
                  result.cancelled ? "stopped early, output valid but " : "", line, result.recordings.size(),
                  result.complete() ? "" : ", --resume tries again"));
  if (!result.cancelled) return;
  std::size_t named = 0;
  for (const auto& recording : result.recordings) {
    if (recording.state != RecordingState::cancelled) continue;
    if (++named > 10) {
      say(fmt::format("  ...\n"));
      break;
    }
    say(fmt::format("  not reached: {}\n", printable(recording.path.string())));
  }
}

/// Parquet is made of scores.npy by Python, once that is written. Returns that program; empty where it is not asked for.
std::filesystem::path take_parquet(PredictOptions& options) {
  if (std::erase(options.formats, "parquet") == 0) return {};
  if (std::ranges::find(options.formats, "npy") == options.formats.end()) options.formats.emplace_back("npy");
  return find_python_verb("parquet");
}

int run(Arguments& arguments) {
  start_console(arguments.quiet || arguments.json ? Verbosity::quiet : Verbosity::normal);
  auto& options = arguments.options;
  if (!arguments.shard.empty()) parse_shard(arguments.shard, options);
  options.models = find_models(arguments.models);
  if (!arguments.plan.empty()) apply_plan(read_plan(arguments.plan), options);
  if (!arguments.budget.empty()) options.budget_s = duration_from_string(arguments.budget);
  if (!arguments.decode_timeout.empty()) options.decode_timeout_s = duration_from_string(arguments.decode_timeout);
  if (!arguments.max_memory.empty()) options.max_memory_bytes = size_from_string(arguments.max_memory);
  parse_words(arguments, options);
  const auto parquet = take_parquet(options);
  options.cancel = &stop_on_signals();
  options.on_progress = show_progress;

  auto result = predict(options);
  end_progress();
  if (!parquet.empty()) {
    run_python_verb(parquet, {options.out_dir.string(), "--quiet"});
    result.files.push_back(options.out_dir / "scores.parquet");
  }
  if (arguments.json) {
    fmt::print("{}", read_file(options.out_dir / "run.json"));
  } else if (!arguments.quiet) {
    print_summary(result);
  }
  print_budget(result);
  print_retried(result);
  print_missing(result);
  return result.count(RecordingState::done) == result.recordings.size() ? 0 : 1;
}

void add_post_processing(CLI::App& app, Arguments& arguments) {
  auto& post = arguments.options.post;
  const char* group = "Post-processing (replaces [postprocess] of the first manifest)";
  app.add_flag("--no-postprocess", post.ignore_manifest, "Begin with nothing of the manifest's [postprocess]")->group(group);
  app.add_option("--smooth", post.smooth, "Weights of neighbouring windows, such as 0.1,0.2,0.4,0.2,0.1")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--prior", arguments.prior,
                 "max or mean: scores times the recording's maximum or mean of the class; none: not")
      ->group(group);
  app.add_option("--prior-power", post.prior_power, "Of that maximum or mean; default: 1")->group(group);
  app.add_option("--merge", post.merge_gap_s,
                 "Detections of a class at most so many seconds apart (0 if none are given) are one")
      ->expected(0, 1)
      ->default_str("0")
      ->group(group);
  app.add_option("--species-list", post.species_list, "Label, scientific or common names, one a line: no other class is found")
      ->group(group);
  app.add_option("--thresholds", post.thresholds, "CSV class,threshold; classes that are not in it have --threshold")
      ->group(group);
  app.add_flag("--events", post.events, "Detections are events of the frame-wise output")->group(group);
  app.add_option("--event-median", post.event_median_frames, "Median filter of so many frames")->group(group);
  app.add_option("--event-high", post.event_high, "An event has a frame at or above it")->group(group);
  app.add_option("--event-low", post.event_low, "and lasts as long as frames are at or above this")->group(group);
  app.add_option("--tta-shift", post.tta_shifts_s, "Score each window again, moved by these seconds, such as -1,1")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group(group);
}

}  // namespace

Verb add_predict(CLI::App& root) {
  auto* app = root.add_subcommand("predict", "Score recordings with one model or an ensemble");
  auto arguments = std::make_shared<Arguments>();
  auto& o = arguments->options;
  app->add_option("INPUT", o.inputs, "Recordings, folders (searched recursively), @list.txt (one path a line)")->required();
  auto* model = app->add_option("--model", arguments->models,
                                "Manifest (.toml) or model file with its manifest beside it; several, or a pattern such as "
                                "'folds/*.toml', make an ensemble");
  app->add_option("--plan", arguments->plan, "Run what whimbrel plan chose, instead of --model")->excludes(model);
  app->add_option("--out", o.out_dir, "Folder for the results")->required();
  app->add_option("--budget", arguments->budget,
                  "Finish within this time of the start, such as 2h or 90min: members are dropped where it gets short, and a "
                  "complete output is there in any case");
  app->add_option("--max-memory", arguments->max_memory,
                  "Stay within this memory, such as 2G or 500M: fewer workers, and a clean early end where one does not fit");
  app->add_option("--engine", o.engine, "auto, onnxruntime, openvino or torchscript")->capture_default_str();
  app->add_option("--threads", o.threads, "Workers; default: one per core that this process may use")
      ->check(CLI::Range(1, 1024));
  app->add_option("--batch", o.batch, "Windows an inference; default: chosen with the engine")->check(CLI::Range(1, 1024));
  app->add_option("--window-hop", o.window_hop_s, "Seconds from window to window; default: the manifest's")
      ->check(CLI::PositiveNumber);
  app->add_option("--format", o.formats, "Any of kaggle,csv,raven,audacity,kaleidoscope,jsonl,npy,parquet")
      ->delimiter(',')
      ->capture_default_str();
  app->add_option("--threshold", o.threshold, "Detections are scores at or above it")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app->add_option("--top-k", o.top_k, "Most detections a window; default: all")->check(CLI::PositiveNumber);
  app->add_option("--sample-submission", o.sample_submission, "CSV whose rows and columns submission.csv must have (kaggle)");
  app->add_flag("--absolute-time", o.absolute_time,
                "Detections also say date and time, where recordings tell their start in header or name");
  app->add_flag("--embeddings", o.embeddings, "Write embeddings.npy too, from the model's embedding output");
  app->add_option("--mean", arguments->mean, "Of an ensemble: arithmetic, geometric, power or rank; default: arithmetic");
  app->add_option("--mean-power", o.mean_power, "Exponent of --mean power")->capture_default_str();
  add_post_processing(*app, *arguments);
  app->add_option("--shard", arguments->shard, "I/N: every N-th recording, beginning with the I-th");
  app->add_flag(
         "--resume{strict}", arguments->resume,
         "Go on with the run that was ended in --out. --resume=strict, the default: refuse where a model, a setting or a "
         "scored recording has changed since; --resume=redo: score that anew")
      ->check(CLI::IsMember({"strict", "redo"}));
  app->add_option("--decode-timeout", arguments->decode_timeout,
                  "Give up a recording that gives nothing for so long; default: 60s");
  app->add_flag("--json", arguments->json, "Print run.json's object instead of the summary");
  app->add_flag("--quiet", arguments->quiet, "No progress and no summary; warnings and errors remain");
  return {app, [arguments] { return run(*arguments); }};
}

}  // namespace whimbrel::cli
