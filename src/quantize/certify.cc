#include "quantize/certify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace whimbrel::quantize {
namespace {

double auc_of(const std::vector<float>& probabilities, const QuantizeOptions& options) {
  ScoredTable table;
  table.classes = options.classes;
  for (std::int64_t r = 0; r < options.certification.count; ++r) table.rows.push_back(std::to_string(r));
  table.scores = probabilities;
  table.truth = options.truth;
  return score_table(table).macro_roc_auc;
}

void check_finite(const std::vector<std::vector<float>>& outputs, const std::string& what) {
  for (const auto& output : outputs) {
    if (std::ranges::all_of(output, [](float v) { return std::isfinite(v); })) continue;
    throw Error(ErrorCode::engine, what + " gives values that are not finite on real windows, expected finite ones");
  }
}

/// An engine may call a node by its own name with something behind it ("node_Conv_3_token_7").
const NodeTime* find_node(const std::vector<NodeTime>& profile, const std::string& name) {
  const NodeTime* found = nullptr;
  for (const auto& node : profile) {
    if (node.name == name) return &node;
    if (node.name.starts_with(name + "_token_") || node.name.starts_with(name + "/")) found = &node;
  }
  return found;
}

std::vector<float> probe_row(const QuantizeOptions& options) { return probe_input(element_count(options.row_shape)); }

}  // namespace

Reference reference_of(Session& session, const QuantizeOptions& options) {
  Reference reference;
  reference.outputs = outputs_of(session, options.certification, options.workers);
  check_finite(reference.outputs, "the float model");
  reference.classes = reference.outputs[0].size() / static_cast<std::size_t>(options.certification.count);
  reference.probabilities = probabilities_of(reference.outputs[0], reference.classes, options);
  if (!options.truth.empty()) reference.auc = auc_of(reference.probabilities, options);
  return reference;
}

void compare(Session& session, const Reference& reference, const QuantizeOptions& options, Certificate& certificate) {
  const auto outputs = outputs_of(session, options.certification, options.workers);
  check_finite(outputs, "the INT8 model");
  const auto probabilities = probabilities_of(outputs[0], reference.classes, options);
  certificate.agreement = agreement(reference.probabilities, probabilities, reference.classes, options.threshold);
  certificate.sqnr_db.clear();
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    certificate.sqnr_db.emplace_back(session.outputs()[i].name, sqnr_db(reference.outputs[i], outputs[i]));
  }
  if (reference.auc) {
    certificate.auc_fp32 = reference.auc;
    certificate.auc_int8 = auc_of(probabilities, options);
    certificate.drop = *certificate.auc_fp32 - *certificate.auc_int8;
  } else {
    // Where the float model hears nothing its best class is a matter of noise; with too few calls all windows must do.
    constexpr std::int64_t kFewest = 20;
    const auto& a = certificate.agreement;
    certificate.drop = 1 - (a.confident_rows >= kFewest ? a.top1_confident : a.top1);
  }
}

void fill_products(const Workbench& bench, const Trial& trial, const std::filesystem::path& float_model,
                   const std::map<std::string, std::string>& returned, Certificate& certificate) {
  constexpr int kRuns = 10;
  const auto& options = bench.options();
  SessionOptions session{.batch = 1, .workers = 1, .row_shape = options.row_shape, .outputs = options.outputs};
  const auto input = probe_row(options);
  const auto profile = profile_model(bench.target(), trial.file, session, input, kRuns);
  const auto float_profile = profile_model(bench.target(), float_model, session, input, kRuns);
  std::int64_t integer_macs = 0;
  std::int64_t macs = 0;
  const auto add = [&](const std::string& name, std::int64_t product_macs, const std::string& why) {
    ProductReport report{.name = name, .macs = product_macs, .why_float = why};
    for (const auto& node : bench.graph().nodes) {
      if (node.name() == name) report.type = node.op_type();
    }
    if (const auto* node = find_node(profile, name)) {
      report.kernel = node->kernel;
      report.integer = node->integer;
      report.int8_ms = node->ms;
    }
    if (const auto* node = find_node(float_profile, name)) report.fp32_ms = node->ms;
    if (!report.integer && why.empty()) {
      report.why_float =
          report.kernel.empty() ? "the engine's profile does not name it" : "the engine has no integer kernel for it here";
    }
    if (report.integer) report.why_float.clear();
    macs += product_macs;
    if (report.integer) integer_macs += product_macs;
    certificate.products.push_back(std::move(report));
  };
  for (const auto& product : bench.selection().products) {
    const auto why = returned.find(product.name);
    add(product.name, product.macs, why == returned.end() ? "" : why->second);
  }
  for (const auto& [name, kept] : bench.selection().kept) add(name, kept.macs, kept.why);
  certificate.integer_macs_share = macs > 0 ? static_cast<double>(integer_macs) / static_cast<double>(macs) : 0;
}

void judge(Certificate& certificate) {
  const auto& speed = certificate.speed;
  const std::string lost = certificate.auc_int8 && certificate.auc_fp32
                               ? fmt::format("macro ROC-AUC {:.4f} of {:.4f}", *certificate.auc_int8, *certificate.auc_fp32)
                               : fmt::format("top-1 agreement {:.1f} %", 100 * (1 - certificate.drop));
  const bool accurate = certificate.drop <= certificate.max_drop;
  const bool faster = speed.ratio_low > 1;
  certificate.keep_fp32 = !accurate || !faster;
  if (!certificate.keep_fp32) {
    certificate.verdict =
        fmt::format("INT8 {:.2f}x ({:.2f}..{:.2f}) on this CPU, {}", speed.ratio, speed.ratio_low, speed.ratio_high, lost);
  } else if (!faster) {
    certificate.verdict = fmt::format("keep FP32: INT8 reaches {:.2f}x ({:.2f}..{:.2f}) on this CPU, {}", speed.ratio,
                                      speed.ratio_low, speed.ratio_high, lost);
  } else {
    certificate.verdict =
        fmt::format("keep FP32: INT8 costs more than {:g} allows: {} at {:.2f}x", certificate.max_drop, lost, speed.ratio);
  }
}

}  // namespace whimbrel::quantize
