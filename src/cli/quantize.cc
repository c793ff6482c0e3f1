// `whimbrel quantize`: FP32 ONNX -> INT8, with a certificate.
#include "whimbrel/quantize.h"

#include <fmt/format.h>

#include <map>
#include <memory>

#include "cli/console.h"
#include "cli/verbs.h"
#include "whimbrel/io.h"
#include "whimbrel/pipeline.h"

namespace whimbrel::cli {
namespace {

struct Arguments {
  QuantizeRunOptions options;
  std::string observer = "auto";
  std::string isa = "native";
  std::filesystem::path report;
  bool json = false;
  bool quiet = false;
};

void print_summary(const QuantizeRunResult& result) {
  const auto& c = result.certificate;
  fmt::print("{}\n", c.verdict);
  fmt::print(
      "  agreement  top-1 {:.1f} % of {} windows, {:.1f} % of the {} in which FP32 hears something; detections F1 {:.3f}\n",
      100 * c.agreement.top1, c.certification_windows, 100 * c.agreement.top1_confident, c.agreement.confident_rows,
      c.agreement.detections_f1);
  for (const auto& [name, db] : c.sqnr_db) fmt::print("  SQNR       {:.1f} dB of {}\n", db, printable(name));
  if (c.auc_fp32 && c.auc_int8) fmt::print("  score      macro ROC-AUC {:.4f}, FP32 {:.4f}\n", *c.auc_int8, *c.auc_fp32);
  fmt::print(
      "  speed      {:.2f} ms a window by {}, FP32 {:.2f} ms by {}; on all cores {:.1f} windows/s, FP32 {:.1f} ({:.2f}x)\n",
      c.speed.other_ms, to_string(c.engine), c.speed.base_ms, to_string(c.fp32_engine), c.speed.other_per_s, c.speed.base_per_s,
      c.speed.throughput_ratio);
  std::int64_t in_float = 0;
  for (const auto& product : c.products) in_float += product.integer ? 0 : 1;
  fmt::print("  integer    {:.1f} % of the multiply-accumulates; {} of {} products in float; {} observer\n",
             100 * c.integer_macs_share, in_float, c.products.size(), to_string(c.observer));
  for (const auto& file : result.files) fmt::print("  wrote      {}\n", printable(file.string()));
}

int run(Arguments& arguments) {
  start_console(arguments.quiet ? Verbosity::quiet : Verbosity::normal);
  auto& options = arguments.options;
  static const std::map<std::string, Observer> kObservers = {{"minmax", Observer::minmax},
                                                             {"percentile", Observer::percentile},
                                                             {"entropy", Observer::entropy},
                                                             {"mse", Observer::mse}};
  if (arguments.observer != "auto") options.observer = kObservers.at(arguments.observer);
  options.isa = arguments.isa == "avx2" ? QuantizeIsa::avx2 : arguments.isa == "vnni" ? QuantizeIsa::vnni : QuantizeIsa::native;
  if (!arguments.quiet) options.on_step = [](const std::string& line) { say(printable(line) + "\n"); };
  options.cancel = &stop_on_signals();
  const auto result = quantize_recordings(options);
  const auto json = certificate_json(result.certificate);
  if (!arguments.report.empty()) {
    AtomicFile file(arguments.report);
    file.write(json + "\n");
    file.commit();
  }
  if (arguments.json) {
    fmt::print("{}\n", json);
  } else if (arguments.quiet) {
    fmt::print("{}\n", result.certificate.verdict);
  } else {
    print_summary(result);
  }
  return 0;
}

}  // namespace

Verb add_quantize(CLI::App& root) {
  auto* app = root.add_subcommand("quantize", "FP32 ONNX to INT8 for this CPU, certified on recordings");
  auto arguments = std::make_shared<Arguments>();
  auto& o = arguments->options;
  app->add_option("MODEL", o.model, "Manifest (.toml) or .onnx with its manifest beside it")->required();
  app->add_option("--calibrate", o.calibrate, "Recordings, folders, @list.txt: what the model will hear")->required();
  app->add_option("--certify", o.certify, "Recordings to certify on; default: every second one of --calibrate, kept apart");
  app->add_option("-o,--output", o.output, "The .onnx (or .xml for OpenVINO) to write; its manifest comes beside it")
      ->required();
  app->add_option("--target", o.target, "auto, onnxruntime or openvino: whose kernels to place the integers for")
      ->check(CLI::IsMember({"auto", "onnxruntime", "openvino"}))
      ->capture_default_str();
  app->add_option("--isa", arguments->isa, "Weights for the instructions of: native (this CPU), avx2 (safe everywhere), vnni")
      ->check(CLI::IsMember({"native", "avx2", "vnni"}))
      ->capture_default_str();
  app->add_option("--observer", arguments->observer,
                  "auto (the best on the calibration windows), minmax, percentile, entropy, mse")
      ->check(CLI::IsMember({"auto", "minmax", "percentile", "entropy", "mse"}))
      ->capture_default_str();
  app->add_option("--samples", o.samples, "Most windows to calibrate on")->check(CLI::Range(8, 100000))->capture_default_str();
  app->add_option("--keep", o.keep, "Nodes or operator types that stay in float")->delimiter(',');
  app->add_option(
         "--max-drop", o.max_drop,
         "Most that INT8 may lose: of macro ROC-AUC with --truth (default 0.005), else of top-1 agreement (default 0.02)")
      ->check(CLI::Range(0.0, 1.0));
  app->add_option("--truth", o.truth, "Truth in any form that score reads: the score counts, not agreement");
  app->add_option("--threshold", o.threshold, "Score of a detection")->check(CLI::Range(0.0, 1.0))->capture_default_str();
  app->add_option("--threads", o.threads, "Workers; default: one per core that this process may use")
      ->check(CLI::Range(1, 1024));
  app->add_option("--report", arguments->report, "Also write the certificate as JSON to this file");
  app->add_flag("--json", arguments->json, "Print the certificate as one JSON object");
  app->add_flag("--quiet", arguments->quiet, "Print the verdict alone");
  return {app, [arguments] { return run(*arguments); }};
}

}  // namespace whimbrel::cli
