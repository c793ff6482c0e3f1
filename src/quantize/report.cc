// Step 7: the certificate as JSON, and the part of it that travels inside the model.
#include <cmath>
#include <nlohmann/json.hpp>

#include "whimbrel/quantize.h"

namespace whimbrel {
namespace {

using Json = nlohmann::ordered_json;

/// JSON has no infinity: an output without any error has no SQNR.
Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json speed_json(const PairedSpeed& speed) {
  return {{"fp32_ms", speed.base_ms},
          {"int8_ms", speed.other_ms},
          {"ratio", speed.ratio},
          {"ratio_low", speed.ratio_low},
          {"ratio_high", speed.ratio_high},
          {"fp32_windows_per_s", speed.base_per_s},
          {"int8_windows_per_s", speed.other_per_s},
          {"throughput_ratio", speed.throughput_ratio}};
}

Json product_json(const ProductReport& p) {
  Json json = {{"name", p.name}, {"type", p.type}, {"macs", p.macs}, {"integer", p.integer}, {"kernel", p.kernel}};
  if (p.fp32_ms > 0) json["fp32_ms"] = p.fp32_ms;
  if (p.int8_ms > 0) json["int8_ms"] = p.int8_ms;
  if (!p.why_float.empty()) json["why_float"] = p.why_float;
  return json;
}

}  // namespace

std::string certificate_json(const Certificate& c) {
  Json json = {{"verdict", c.verdict},
               {"keep_fp32", c.keep_fp32},
               {"engine", to_string(c.engine)},
               {"fp32_engine", to_string(c.fp32_engine)},
               {"isa", to_string(c.isa)},
               {"observer", to_string(c.observer)},
               {"observers_of_blocks", c.unit_observers},
               {"cpu", c.cpu},
               {"integer_path", c.integer_path},
               {"calibration_windows", c.calibration_windows},
               {"certification_windows", c.certification_windows},
               {"top1_agreement", c.agreement.top1},
               {"top1_agreement_confident", c.agreement.top1_confident},
               {"confident_windows", c.agreement.confident_rows},
               {"detections_f1", c.agreement.detections_f1},
               {"max_drop", c.max_drop},
               {"drop", c.drop}};
  for (const auto& [name, db] : c.sqnr_db) json["sqnr_db"][name] = finite(db);
  if (c.auc_fp32 && c.auc_int8) json["macro_roc_auc"] = {{"fp32", *c.auc_fp32}, {"int8", *c.auc_int8}};
  json["speed"] = speed_json(c.speed);
  json["integer_macs_share"] = c.integer_macs_share;
  json["narrowed_channels"] = c.narrowed_channels;
  for (const auto& product : c.products) json["products"].push_back(product_json(product));
  for (const auto& block : c.blocks) {
    json["blocks"].push_back(
        {{"products", block.products}, {"time_ratio", block.time_ratio}, {"noise_share", block.noise_share}});
  }
  json["step_s"] = c.step_s;
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

std::string verdict_json(const Verdict& v) {
  const Json json = {{"format", 1},
                     {"keep_fp32", v.keep_fp32},
                     {"engine", to_string(v.engine)},
                     {"cpu", v.cpu},
                     {"integer_path", v.integer_path},
                     {"source", v.source},
                     {"source_hash", v.source_hash},
                     {"verdict", v.words}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<Verdict> parse_verdict(const std::string& text) {
  const auto json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  try {
    const auto engine = engine_from_string(json.at("engine").get<std::string>());
    if (json.at("format") != 1 || !engine) return std::nullopt;
    return Verdict{json.at("keep_fp32").get<bool>(),     *engine,
                   json.at("cpu").get<std::string>(),    json.at("integer_path").get<std::string>(),
                   json.at("source").get<std::string>(), json.at("source_hash").get<std::string>(),
                   json.at("verdict").get<std::string>()};
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

}  // namespace whimbrel
