// `whimbrel score`: predictions against truth.
#include "whimbrel/score.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/console.h"
#include "cli/verbs.h"
#include "whimbrel/pipeline.h"

namespace whimbrel::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::string predictions;
  std::string truth;
  bool per_class = false;
  bool json = false;
};

Json number_or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

int run(const Arguments& arguments) {
  const Scores scores = score_table(join_predictions(arguments.predictions, arguments.truth));
  if (arguments.json) {
    Json object = {{"macro_roc_auc", scores.macro_roc_auc},
                   {"padded_cmap", scores.padded_cmap},
                   {"rows", scores.rows},
                   {"classes_scored", scores.classes_scored}};
    for (const auto& c : scores.per_class) {
      object["per_class"].push_back({{"name", c.name},
                                     {"positives", c.positives},
                                     {"roc_auc", number_or_null(c.roc_auc)},
                                     {"average_precision", number_or_null(c.average_precision)}});
    }
    fmt::print("{}\n", object.dump(2, ' ', false, Json::error_handler_t::replace));
    return 0;
  }
  fmt::print("macro ROC-AUC  {:.4f}  over {} of {} classes, {} rows\n", scores.macro_roc_auc, scores.classes_scored,
             scores.per_class.size(), scores.rows);
  fmt::print("padded cmAP    {:.4f}\n", scores.padded_cmap);
  if (!arguments.per_class) return 0;
  fmt::print("{:<40} {:>9} {:>8} {:>8}\n", "class", "positives", "ROC-AUC", "AP");
  const auto text = [](const std::optional<double>& value) { return value ? fmt::format("{:.4f}", *value) : std::string("-"); };
  for (const auto& c : scores.per_class) {
    fmt::print("{:<40} {:>9} {:>8} {:>8}\n", printable(c.name), c.positives, text(c.roc_auc), text(c.average_precision));
  }
  return 0;
}

}  // namespace

Verb add_score(CLI::App& root) {
  auto* app = root.add_subcommand("score", "Score a submission against the truth");
  auto arguments = std::make_shared<Arguments>();
  app->add_option("PREDICTIONS", arguments->predictions, "CSV: row_id and one column a class")->required();
  app->add_option("TRUTH", arguments->truth, "CSV of the same rows and classes with 0 and 1")->required();
  app->add_flag("--per-class", arguments->per_class, "A table of the classes too");
  app->add_flag("--json", arguments->json, "Print one JSON object");
  return {app, [arguments] { return run(*arguments); }};
}

}  // namespace whimbrel::cli
