// `whimbrel bench`: what a model costs here in every engine, precision, batch and number of workers.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "cli/console.h"
#include "cli/verbs.h"
#include "whimbrel/io.h"
#include "whimbrel/plan.h"

namespace whimbrel::cli {
namespace {

constexpr int kFatal = 3;

struct Arguments {
  BenchOptions options;
  std::vector<std::string> models;
  std::vector<std::string> engines;
  std::filesystem::path csv;
  bool json = false;
  bool quiet = false;
};

/// "412 ms", "1.93 s"
std::string short_time(double seconds) {
  return seconds < 0.9995 ? fmt::format("{:.0f} ms", 1e3 * seconds) : fmt::format("{:.2f} s", seconds);
}

/// So many digits that a row's times stay apart and in their column.
std::string milliseconds(double ms) {
  return ms < 9.995 ? fmt::format("{:.2f}", ms) : ms < 999.5 ? fmt::format("{:.1f}", ms) : fmt::format("{:.0f}", ms);
}

std::string agreement_text(const BenchRow& row) {
  const auto db = std::isinf(row.sqnr_db) && row.sqnr_db > 0 ? std::string("same") : fmt::format("{:.0f} dB", row.sqnr_db);
  return row.agreement ? fmt::format("{} {:.1f} %", db, 100 * row.agreement->top1) : db;
}

void print_row(const BenchModel& model, std::size_t index) {
  const auto& row = model.rows[index];
  const char mark = model.best == index ? '*' : ' ';
  fmt::print("{} {:<11} {:>5} {:>4}", mark, to_string(row.engine), row.batch, row.workers);
  if (!row.error.empty()) {
    fmt::print("  {}\n", printable(row.error));
    return;
  }
  const auto& w = row.windows_per_s;
  const auto interval = fmt::format("{:.1f}..{:.1f}", w.low, w.high);
  const auto share = row.peak_share ? fmt::format("{:.0f} %", 100 * *row.peak_share) : std::string("-");
  fmt::print(" {:>8.1f} {:>15} {:>7} {:>7} {:>7} {:>7} {:>7} {:>9} {:>5} {:>7}\n", w.value, interval,
             milliseconds(row.latency_p50_ms), milliseconds(row.latency_p90_ms), milliseconds(row.latency_p99_ms),
             short_time(row.start_s), short_time(row.first_inference_s), size_text(static_cast<double>(row.peak_rss_bytes)),
             share, agreement_text(row));
}

void print_form(const BenchModel& model, std::size_t f) {
  if (std::ranges::none_of(model.rows, [&](const BenchRow& row) { return row.form == f; })) return;
  const auto& form = model.forms[f];
  const auto millions =
      form.parameters == 0 ? std::string() : fmt::format(", {:.2f} M parameters", 1e-6 * static_cast<double>(form.parameters));
  const auto macs = form.macs == 0
                        ? std::string()
                        : fmt::format(", {:.3f} G multiply-accumulates a window", 1e-9 * static_cast<double>(form.macs));
  fmt::print("{}  {}, {}{}{}\n", printable(form.form.model_path.filename().string()), form.form.precision,
             size_text(static_cast<double>(form.file_bytes)), millions, macs);
  for (std::size_t r = 0; r < model.rows.size(); ++r) {
    if (model.rows[r].form == f) print_row(model, r);
  }
}

void print_model(const BenchModel& model, bool on_recordings) {
  fmt::print("\n{:<13} {:>5} {:>4} {:>8} {:>15} {:>7} {:>7} {:>7} {:>7} {:>7} {:>9} {:>5} {:>7}\n", printable(model.name),
             "batch", "thr.", "wind./s", "95 % interval", "p50 ms", "p90 ms", "p99 ms", "start", "first", "peak mem.", "share",
             "agrees");
  for (std::size_t f = 0; f < model.forms.size(); ++f) print_form(model, f);
  fmt::print("{}\n", printable(model.ranking));
  if (!model.reference) return;
  const auto& reference = model.rows[*model.reference];
  fmt::print("agrees: signal to noise of the outputs{} against {} by {}, batch {}, over {} windows of {}\n",
             on_recordings ? " and windows with the same best class" : "",
             printable(model.forms[reference.form].form.model_path.filename().string()), to_string(reference.engine),
             reference.batch, model.compared_windows, on_recordings ? "the recordings" : "noise");
}

void print_table(const BenchResult& result) {
  std::vector<std::string> engines;
  for (const auto& engine : result.engines) engines.push_back(fmt::format("{} {}", to_string(engine.kind), engine.version));
  const auto integers = result.integer_per_s > 0
                            ? fmt::format(", {:.0f} GOP/s in 8 bits ({})", 1e-9 * result.integer_per_s, result.integer_loop)
                            : std::string();
  fmt::print("{}, {} core{} allowed; a core's peak {:.0f} GFLOP/s{}, varied by {:.0f} %; {}\n", result.cpu.model,
             result.cpu.cores_allowed, result.cpu.cores_allowed == 1 ? "" : "s", 1e-9 * result.fma_per_s, integers,
             100 * result.unsteadiness, fmt::join(engines, ", "));
  for (const auto& model : result.models) print_model(model, result.on_recordings);
}

bool anything_measured(const BenchResult& result) {
  for (const auto& model : result.models) {
    if (model.best) return true;
  }
  return false;
}

int run(Arguments& arguments) {
  const bool quiet = arguments.quiet;
  start_console(quiet ? Verbosity::quiet : Verbosity::normal);
  auto& options = arguments.options;
  options.models = find_models(arguments.models);
  for (const auto& word : arguments.engines) {
    if (const auto kind = engine_from_string(word)) options.engines.push_back(*kind);  // the parser lets no other word through
  }
  options.cancel = &stop_on_signals();
  if (!quiet) options.on_step = [](const std::string& line) { say(printable(line) + "\n"); };
  const auto result = bench(options);
  if (!arguments.csv.empty()) {
    AtomicFile file(arguments.csv);
    file.write(bench_csv(result));
    file.commit();
  }
  if (arguments.json) {
    fmt::print("{}\n", bench_json(result));
  } else {
    print_table(result);
  }
  return anything_measured(result) ? 0 : kFatal;
}

std::vector<std::string> engine_names() {
  std::vector<std::string> names;
  for (const auto kind : all_engines()) names.emplace_back(to_string(kind));
  return names;
}

}  // namespace

Verb add_bench(CLI::App& root) {
  auto* app = root.add_subcommand("bench", "Speed, memory and agreement of models in every engine, precision and batch");
  auto arguments = std::make_shared<Arguments>();
  auto& o = arguments->options;
  app->add_option("MODEL", arguments->models, "Manifests (.toml) or model files; INT8 models made of one beside it are found")
      ->required();
  app->add_flag("--full", o.full, "Batches 1, 2, 4, 8, 16 x workers 1, 2, 4, ...; default: the promising ones on all cores");
  app->add_option("--engine", arguments->engines, "Only these of onnxruntime, openvino, torchscript")
      ->delimiter(',')
      ->check(CLI::IsMember(engine_names()));
  app->add_option("--batch", o.batches, "Only these batches")->delimiter(',')->check(CLI::Range(1, 1024));
  app->add_option("--threads", o.workers, "Only so many workers; default: one per core that this process may use")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024));
  app->add_option("--seconds", o.seconds, "How long each row is measured")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  app->add_option("--recordings", o.recordings,
                  "Compare outputs on windows of these (files, folders, @list.txt), not on noise");
  app->add_option("--csv", arguments->csv, "Also write the rows to this file");
  app->add_flag("--json", arguments->json, "Print one JSON object instead of the table");
  app->add_flag("--quiet", arguments->quiet, "No progress; the table, warnings and errors remain");
  return {app, [arguments] { return run(*arguments); }};
}

Verb add_bench_row(CLI::App& root) {
  auto* app = root.add_subcommand("bench-row", "")->group("");  // what bench starts; not for people
  return {app, serve_bench_row};
}

}  // namespace whimbrel::cli
