#include "plan/bench_summary.h"

#include <fmt/format.h>

#include <algorithm>

#include "plan/cpu_peak.h"
#include "plan/statistics.h"

namespace whimbrel::plan {
namespace {

constexpr double kPeak_s = 0.02;
constexpr double kSteady = 0.1;

std::string row_text(const BenchModel& model, const BenchRow& row) {
  return fmt::format("{} {} batch {} x {} worker{}", model.forms[row.form].form.model_path.filename().string(),
                     to_string(row.engine), row.batch, row.workers, row.workers == 1 ? "" : "s");
}

void add_peaks(const Peaks& peaks, BenchResult& result) {
  result.integer_loop = integer_loop();
  if (peaks.fma_per_s.empty()) return;
  const auto [low, high] = std::ranges::minmax(peaks.fma_per_s);
  result.fma_per_s = high;
  result.integer_per_s = std::ranges::max(peaks.integer_per_s);
  result.unsteadiness = (high - low) / percentile(peaks.fma_per_s, 0.5);
  result.steady = result.unsteadiness <= kSteady;
}

void add_shares(BenchResult& result) {
  for (auto& model : result.models) {
    for (auto& row : model.rows) {
      const auto& form = model.forms[row.form];
      const double peak = form.form.precision == "int8" ? result.integer_per_s : result.fma_per_s;
      if (!row.error.empty() || form.macs == 0 || peak <= 0) continue;
      const int cores = std::min(row.workers, result.cpu.cores_allowed);
      row.peak_share = 2.0 * static_cast<double>(form.macs) * row.windows_per_s.value / (peak * cores);
    }
    model.ranking = ranking_of(model, result.unsteadiness);
  }
}

}  // namespace

void Peaks::measure() {
  const auto peak = measure_peak(cores, kPeak_s);
  fma_per_s.push_back(peak.fma_per_s / cores);
  integer_per_s.push_back(peak.integer_per_s / cores);
}

std::string ranking_of(const BenchModel& model, double unsteadiness) {
  const bool steady = unsteadiness <= kSteady;
  if (!model.best) return "nothing could be measured";
  if (model.rows.size() < 2 || !model.rows[1].error.empty()) return "one row: nothing to rank";
  const auto &first = model.rows[0], &second = model.rows[1];
  const auto pair =
      fmt::format("{} ({:.1f}..{:.1f} windows/s) and {} ({:.1f}..{:.1f})", row_text(model, first), first.windows_per_s.low,
                  first.windows_per_s.high, row_text(model, second), second.windows_per_s.low, second.windows_per_s.high);
  if (!are_apart(first.windows_per_s, second.windows_per_s)) {
    return pair + " cannot be ranked on this machine now: their intervals overlap" +
           (steady ? "" : fmt::format(", and its own speed varied by {:.0f} %", 100 * unsteadiness));
  }
  if (!steady) {
    return fmt::format("this machine is too unsteady to rank close rows: its own speed varied by {:.0f} %; {} were apart",
                       100 * unsteadiness, pair);
  }
  return fmt::format("{} is the fastest: {:.2f}x {}", row_text(model, first),
                     first.windows_per_s.value / second.windows_per_s.value, row_text(model, second));
}

void summarize(const Peaks& peaks, BenchResult& result) {
  add_peaks(peaks, result);
  add_shares(result);
}

}  // namespace whimbrel::plan
