#include <gmock/gmock.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "whimbrel/quantize.h"

namespace whimbrel {
namespace {

using Json = nlohmann::json;

Verdict example() {
  return {true, EngineKind::openvino, "Some CPU @ 2 GHz", "avx512_vnni", "b0.onnx", "0123456789abcdef", "keep FP32: \"why\""};
}

void expect_same(const std::optional<Verdict>& found, const Verdict& expected) {
  ASSERT_TRUE(found);
  EXPECT_EQ(found->keep_fp32, expected.keep_fp32);
  EXPECT_EQ(found->engine, expected.engine);
  EXPECT_EQ(found->cpu, expected.cpu);
  EXPECT_EQ(found->integer_path, expected.integer_path);
  EXPECT_EQ(found->source, expected.source);
  EXPECT_EQ(found->source_hash, expected.source_hash);
  EXPECT_EQ(found->words, expected.words);
}

TEST(VerdictJson, IsReadAsItWasWritten) {
  expect_same(parse_verdict(verdict_json(example())), example());
  auto other = example();
  other.keep_fp32 = false;
  other.engine = EngineKind::onnxruntime;
  expect_same(parse_verdict(verdict_json(other)), other);
  EXPECT_EQ(verdict_json(example()).find('\n'), std::string::npos);
}

TEST(VerdictJson, SurvivesNamesThatAreNotUtf8) {
  auto odd = example();
  odd.source = "b\xff.onnx";
  const auto found = parse_verdict(verdict_json(odd));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->source, "b\xEF\xBF\xBD.onnx");  // U+FFFD
}

TEST(ParseVerdict, RejectsForeignText) {
  for (const char* text : {"", "{\"format\": 7e95, \"engine\": \"openvino\"}", "null", "[]", "{}", "keep_fp32",
                           "{\"format\": 1}", "{\"format\": 1, \"engine\": \"openvino\"}"}) {
    EXPECT_FALSE(parse_verdict(text)) << text;
  }
}

TEST(ParseVerdict, RejectsAnotherFormatOrEngineAndWrongTypes) {
  const auto changed = [](const char* key, const Json& value) {
    auto json = Json::parse(verdict_json(example()));
    json[key] = value;
    return parse_verdict(json.dump());
  };
  EXPECT_TRUE(changed("keep_fp32", true));
  EXPECT_FALSE(changed("format", 2));
  EXPECT_FALSE(changed("format", "1"));
  EXPECT_FALSE(changed("engine", "tensorrt"));
  EXPECT_FALSE(changed("engine", 1));
  EXPECT_FALSE(changed("keep_fp32", "yes"));
  for (const char* key : {"keep_fp32", "engine", "cpu", "integer_path", "source", "source_hash", "verdict", "format"}) {
    auto json = Json::parse(verdict_json(example()));
    json.erase(key);
    EXPECT_FALSE(parse_verdict(json.dump())) << key;
  }
}

TEST(CertificateJson, HoldsWhatTheCertificateSays) {
  Certificate c;
  c.verdict = "INT8 2x";
  c.engine = EngineKind::openvino;
  c.isa = QuantizeIsa::avx2;
  c.observer = Observer::entropy;
  c.calibration_windows = 48;
  c.agreement.detections_f1 = 0.75;
  c.sqnr_db = {{"clip", 34.5}, {"frame", std::numeric_limits<double>::infinity()}};
  c.auc_fp32 = 0.9;
  c.auc_int8 = 0.875;
  c.speed.base_ms = 8;
  c.speed.other_ms = 4;
  c.speed.ratio = 2;
  c.integer_macs_share = 0.5;
  c.products = {{"first", "Conv", 100, true, "QLinearConv", 1.5, 0.5, ""}, {"head", "Gemm", 100, false, "Gemm", 0, 0, "kept"}};
  c.step_s = {{"choose", 1.5}};
  const auto json = Json::parse(certificate_json(c));
  EXPECT_EQ(json["verdict"], "INT8 2x");
  EXPECT_EQ(json["keep_fp32"], false);
  EXPECT_EQ(json["engine"], "openvino");
  EXPECT_EQ(json["isa"], "avx2");
  EXPECT_EQ(json["observer"], "entropy");
  EXPECT_EQ(json["calibration_windows"], 48);
  EXPECT_EQ(json["detections_f1"], 0.75);
  EXPECT_EQ(json["sqnr_db"]["clip"], 34.5);
  EXPECT_TRUE(json["sqnr_db"]["frame"].is_null());  // JSON has no infinity
  EXPECT_EQ(json["macro_roc_auc"]["int8"], 0.875);
  EXPECT_EQ(json["speed"]["fp32_ms"], 8);
  EXPECT_EQ(json["speed"]["int8_ms"], 4);
  EXPECT_EQ(json["speed"]["ratio"], 2);
  ASSERT_EQ(json["products"].size(), 2U);
  EXPECT_FALSE(json["products"][0].contains("why_float"));
  EXPECT_EQ(json["products"][1]["why_float"], "kept");
  EXPECT_FALSE(json["products"][1].contains("fp32_ms"));
  EXPECT_EQ(json["step_s"]["choose"], 1.5);
}

TEST(CertificateJson, LeavesOutScoresWithoutTruth) {
  EXPECT_FALSE(Json::parse(certificate_json({})).contains("macro_roc_auc"));
}

}  // namespace
}  // namespace whimbrel
