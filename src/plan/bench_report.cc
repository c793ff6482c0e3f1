// A bench as JSON and as CSV.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "whimbrel/io.h"
#include "whimbrel/plan.h"

namespace whimbrel {
namespace {

using Json = nlohmann::ordered_json;

Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json row_json(const BenchModel& model, const BenchRow& row) {
  Json json = {{"form", row.form},
               {"file", model.forms[row.form].form.model_path.filename().string()},
               {"engine", to_string(row.engine)},
               {"precision", model.forms[row.form].form.precision},
               {"batch", row.batch},
               {"workers", row.workers}};
  if (!row.error.empty()) {
    json["error"] = row.error;
    return json;
  }
  json["windows_per_s"] = row.windows_per_s.value;
  json["windows_per_s_low"] = row.windows_per_s.low;
  json["windows_per_s_high"] = row.windows_per_s.high;
  json["latency_p50_ms"] = row.latency_p50_ms;
  json["latency_p90_ms"] = row.latency_p90_ms;
  json["latency_p99_ms"] = row.latency_p99_ms;
  json["start_s"] = row.start_s;
  json["first_inference_s"] = row.first_inference_s;
  json["peak_rss_bytes"] = row.peak_rss_bytes;
  json["peak_share"] = row.peak_share ? Json(*row.peak_share) : Json(nullptr);
  json["max_difference"] = row.max_difference;
  json["sqnr_db"] = finite_or_null(row.sqnr_db);
  if (row.agreement) {
    json["top1"] = row.agreement->top1;
    json["top1_confident"] = row.agreement->top1_confident;
    json["confident_windows"] = row.agreement->confident_rows;
    json["detections_f1"] = row.agreement->detections_f1;
  }
  return json;
}

Json form_json(const BenchForm& form) {
  return {{"model", form.form.reference.string()},
          {"file", form.form.model_path.string()},
          {"name", form.form.name},
          {"precision", form.form.precision},
          {"hash_xxh3_128", form.hash},
          {"file_bytes", form.file_bytes},
          {"parameters", form.parameters == 0 ? Json(nullptr) : Json(form.parameters)},
          {"macs", form.macs == 0 ? Json(nullptr) : Json(form.macs)},
          {"certificate", form.form.verdict ? Json(form.form.verdict->words) : Json(nullptr)}};
}

Json model_json(const BenchModel& model, bool on_recordings) {
  const auto position = [](const std::optional<std::size_t>& row) { return row ? Json(*row) : Json(nullptr); };
  Json json = {{"name", model.name},
               {"best", position(model.best)},
               {"ranking", model.ranking},
               {"reference", position(model.reference)},
               {"compared_on", on_recordings ? "recordings" : "noise"},
               {"compared_windows", model.compared_windows},
               {"forms", Json::array()},
               {"rows", Json::array()}};
  for (const auto& form : model.forms) json["forms"].push_back(form_json(form));
  for (const auto& row : model.rows) json["rows"].push_back(row_json(model, row));
  return json;
}

}  // namespace

std::string bench_json(const BenchResult& result) {
  Json json = {{"format", 1},
               {"cpu",
                {{"model", result.cpu.model},
                 {"isa", result.cpu.isa},
                 {"cores_online", result.cpu.cores_online},
                 {"cores_allowed", result.cpu.cores_allowed},
                 {"integer_path", result.cpu.integer_path},
                 {"fma_per_s", result.fma_per_s},
                 {"integer_per_s", result.integer_per_s},
                 {"integer_loop", result.integer_loop},
                 {"unsteadiness", result.unsteadiness},
                 {"steady", result.steady}}},
               {"engines", Json::object()},
               {"rounds", result.rounds},
               {"seconds_a_row", result.seconds},
               {"models", Json::array()}};
  for (const auto& engine : result.engines) json["engines"][std::string(to_string(engine.kind))] = engine.version;
  for (const auto& model : result.models) json["models"].push_back(model_json(model, result.on_recordings));
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

std::string bench_csv(const BenchResult& result) {
  static const std::vector<std::string> kFromRow = {"file",
                                                    "engine",
                                                    "precision",
                                                    "batch",
                                                    "workers",
                                                    "windows_per_s",
                                                    "windows_per_s_low",
                                                    "windows_per_s_high",
                                                    "latency_p50_ms",
                                                    "latency_p90_ms",
                                                    "latency_p99_ms",
                                                    "start_s",
                                                    "first_inference_s",
                                                    "peak_rss_bytes",
                                                    "peak_share",
                                                    "max_difference",
                                                    "sqnr_db",
                                                    "top1",
                                                    "top1_confident"};
  std::string text = "model";
  for (const auto& column : kFromRow) text += "," + column;
  text += ",file_bytes,parameters,macs,best,error\n";
  const auto cell = [](const Json& value) {
    return value.is_string() ? csv_cell(value.get<std::string>()) : value.is_null() ? "" : value.dump();
  };
  for (const auto& model : result.models) {
    for (std::size_t r = 0; r < model.rows.size(); ++r) {
      const auto& row = model.rows[r];
      const auto json = row_json(model, row);
      const auto form = form_json(model.forms[row.form]);
      text += csv_cell(model.name);
      for (const auto& column : kFromRow) text += "," + cell(json.value(column, Json()));
      text += fmt::format(",{},{},{},{},{}\n", cell(form["file_bytes"]), cell(form["parameters"]), cell(form["macs"]),
                          model.best == r ? 1 : 0, csv_cell(row.error));
    }
  }
  return text;
}

}  // namespace whimbrel
