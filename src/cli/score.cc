// `whimbrel score`: predictions against truth.
#include "whimbrel/score.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/console.h"
#include "cli/verbs.h"
#include "whimbrel/io.h"
#include "whimbrel/pipeline.h"

namespace whimbrel::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::string predictions;
  std::string truth;
  JoinOptions join;
  double threshold = 0.5;
  bool per_class = false;
  std::filesystem::path thresholds_out;
  bool json = false;
};

Json number_or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json to_json(const ClassScore& c) {
  Json object = {{"name", c.name},
                 {"positives", c.positives},
                 {"roc_auc", number_or_null(c.roc_auc)},
                 {"average_precision", number_or_null(c.average_precision)},
                 {"best_threshold", nullptr},
                 {"f1", nullptr},
                 {"precision", nullptr},
                 {"recall", nullptr}};
  if (!c.best) return object;
  object["best_threshold"] = c.best->threshold;
  object["f1"] = c.best->f1;
  object["precision"] = c.best->precision;
  object["recall"] = c.best->recall;
  return object;
}

void print_json(const Scores& scores) {
  Json object = {{"macro_roc_auc", scores.macro_roc_auc},
                 {"padded_cmap", scores.padded_cmap},
                 {"macro_ap", scores.macro_ap},
                 {"micro_ap", scores.micro_ap},
                 {"threshold", scores.threshold},
                 {"macro_f1", scores.macro_f1},
                 {"micro_f1", scores.micro_f1},
                 {"rows", scores.rows},
                 {"classes_scored", scores.classes_scored},
                 {"classes_with_positives", scores.classes_with_positives},
                 {"per_class", Json::array()}};
  for (const auto& c : scores.per_class) object["per_class"].push_back(to_json(c));
  fmt::print("{}\n", object.dump(2, ' ', false, Json::error_handler_t::replace));
}

void print_summary(const Scores& scores) {
  const auto with_positives = scores.classes_with_positives;
  const auto all = scores.per_class.size();
  fmt::print("macro ROC-AUC  {:.4f}  over {} of {} classes, {} rows\n", scores.macro_roc_auc, scores.classes_scored, all,
             scores.rows);
  fmt::print("padded cmAP    {:.4f}  over all {} classes\n", scores.padded_cmap, all);
  fmt::print("macro AP       {:.4f}  over the {} classes with positives\n", scores.macro_ap, with_positives);
  fmt::print("micro AP       {:.4f}  over all cells\n", scores.micro_ap);
  fmt::print("macro F1       {:.4f}  over the {} classes with positives, at {}\n", scores.macro_f1, with_positives,
             scores.threshold);
  fmt::print("micro F1       {:.4f}  over all cells, at {}\n", scores.micro_f1, scores.threshold);
}

/// One line of the table; "-" for what is not defined.
void print_line(std::string_view name, std::size_t width, std::int64_t positives, const std::optional<double>& auc,
                const std::optional<double>& precision, const std::optional<BestThreshold>& best, bool is_mean = false) {
  const auto text = [](const std::optional<double>& value) { return value ? fmt::format("{:.4f}", *value) : std::string("-"); };
  fmt::print("{:<{}}  {:>9}  {:>7}  {:>6}  {:>9}  {:>6}  {:>9}  {:>6}\n", name, width, positives, text(auc), text(precision),
             best && !is_mean ? fmt::format("{:.4g}", best->threshold) : "-", best ? text(best->f1) : "-",
             best ? text(best->precision) : "-", best ? text(best->recall) : "-");
}

/// Best average precision first, classes without positives last; means below.
void print_classes(const Scores& scores) {
  auto classes = scores.per_class;
  std::stable_sort(classes.begin(), classes.end(), [](const ClassScore& a, const ClassScore& b) {
    return a.average_precision.value_or(-1) > b.average_precision.value_or(-1);
  });
  constexpr std::string_view kTotal = "total and means";
  std::size_t width = kTotal.size();
  for (auto& c : classes) {
    c.name = printable(c.name);
    width = std::max(width, fmt::formatted_size("{}", c.name));
  }
  std::int64_t positives = 0;
  BestThreshold mean;
  const auto share = 1.0 / static_cast<double>(scores.classes_with_positives);
  fmt::print("\n{:<{}}  positives  ROC-AUC      AP  threshold      F1  precision  recall\n", "class", width);
  for (const auto& c : classes) {
    print_line(c.name, width, c.positives, c.roc_auc, c.average_precision, c.best);
    positives += c.positives;
    if (!c.best) continue;
    mean.f1 += share * c.best->f1;
    mean.precision += share * c.best->precision;
    mean.recall += share * c.best->recall;
  }
  print_line(kTotal, width, positives, scores.macro_roc_auc, scores.macro_ap, mean, true);
}

/// What `predict --thresholds` reads. Every bit of a threshold stays: the score that it was must reach it.
void write_thresholds(const std::filesystem::path& path, const Scores& scores) {
  AtomicFile file(path);
  file.write("class,threshold\n");
  for (const auto& c : scores.per_class) {
    if (c.best) file.write(fmt::format("{},{}\n", csv_cell(c.name), c.best->threshold));
  }
  file.commit();
}

int run(const Arguments& arguments) {
  const auto scores =
      score_table(join_predictions(arguments.predictions, arguments.truth, arguments.join), arguments.threshold);
  if (!arguments.thresholds_out.empty()) write_thresholds(arguments.thresholds_out, scores);
  if (arguments.json) {
    print_json(scores);
    return 0;
  }
  print_summary(scores);
  if (arguments.per_class) print_classes(scores);
  return 0;
}

}  // namespace

Verb add_score(CLI::App& root) {
  auto* app = root.add_subcommand("score", "Score a submission against the truth");
  auto arguments = std::make_shared<Arguments>();
  auto& a = *arguments;
  app->add_option("PREDICTIONS", a.predictions, "CSV: row_id and one column a class")->required();
  app->add_option(
         "TRUTH", a.truth,
         "CSV of row_id and 0 or 1 a class, of row_id,label or of file,start_s,end_s,label; a Raven table; or a folder "
         "of Raven tables")
      ->required();
  app->add_option("--window", a.join.window_s, "Seconds of a window, for truth with times; from the row ids by default")
      ->check(CLI::PositiveNumber);
  app->add_option("--min-overlap", a.join.truth.min_overlap_s, "An event counts in windows that it overlaps by so many seconds")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app->add_option("--threshold", a.threshold, "Scores at or above it are the detections of F1")->capture_default_str();
  app->add_flag("--per-class", a.per_class, "A table of the classes too, with the threshold of the highest F1");
  app->add_option("--thresholds-out", a.thresholds_out, "Write the classes' thresholds of the highest F1 to this CSV");
  app->add_flag("--json", a.json, "Print one JSON object");
  return {app, [arguments] { return run(*arguments); }};
}

}  // namespace whimbrel::cli
