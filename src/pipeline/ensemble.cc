#include "pipeline/ensemble.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "pipeline/settings.h"

namespace whimbrel {
namespace {

/// Position of `value` in `values`, where it is appended if it is new.
template <class T>
std::size_t position_in(std::vector<T>& values, const T& value) {
  const auto found = std::find(values.begin(), values.end(), value);
  if (found != values.end()) return static_cast<std::size_t>(found - values.begin());
  values.push_back(value);
  return values.size() - 1;
}

void override_hop(Manifest& manifest, double hop_s) {
  const double hop_samples = hop_s * manifest.sample_rate_hz;
  if (!(hop_s > 0) || hop_s > manifest.window_s || std::abs(hop_samples - std::round(hop_samples)) > 1e-6) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("window hop {} s, expected a whole number of samples at {} Hz in (0, {}] s, the window of {}",
                            hop_s, manifest.sample_rate_hz, manifest.window_s, manifest.path.string()));
  }
  manifest.hop_s = hop_s;
}

void check_same_labels(const Manifest& first, const Manifest& other) {
  if (first.labels == other.labels) return;
  const auto [a, b] = std::mismatch(first.labels.begin(), first.labels.end(), other.labels.begin(), other.labels.end());
  const auto line = a - first.labels.begin() + 1;
  const auto text = [](const Manifest& m, auto it) { return it == m.labels.end() ? "nothing" : "\"" + it->text + "\""; };
  throw Error(ErrorCode::bad_manifest,
              fmt::format("{} and {} cannot form an ensemble: line {} of their labels is {} and {}; all members need the same "
                          "labels in the same order",
                          first.path.string(), other.path.string(), line, text(first, a), text(other, b)));
}

void check_same_windows(const Manifest& first, const Manifest& other) {
  const auto same = [](double a, double b) { return std::abs(a - b) < 1e-9; };
  if (same(first.window_s, other.window_s) && same(first.hop_s, other.hop_s) && same(first.min_signal, other.min_signal))
    return;
  throw Error(
      ErrorCode::bad_manifest,
      fmt::format("{} and {} cannot form an ensemble: window, hop and min_signal are {}, {}, {} and {}, {}, {}; all members "
                  "need the same",
                  first.path.string(), other.path.string(), first.window_s, first.hop_s, first.min_signal, other.window_s,
                  other.hop_s, other.min_signal));
}

}  // namespace

void Ensemble::combine(const std::vector<std::vector<float>>& rows, std::span<float> mean) const {
  if (members.size() == 1) {
    std::copy(rows[0].begin(), rows[0].end(), mean.begin());
    return;
  }
  double total = 0;
  for (const auto& member : members) total += member.manifest.weight;
  for (std::size_t c = 0; c < mean.size(); ++c) {
    double sum = 0;
    for (std::size_t m = 0; m < members.size(); ++m) sum += members[m].manifest.weight * rows[m][c];
    mean[c] = static_cast<float>(sum / total);
  }
}

Ensemble load_ensemble(const std::vector<std::filesystem::path>& models, double window_hop_s) {
  if (models.empty()) throw Error(ErrorCode::invalid_argument, "no model given, expected at least one --model");
  Ensemble ensemble;
  for (const auto& reference : models) {
    Member member;
    member.manifest = load_manifest(reference);
    if (window_hop_s != 0) override_hop(member.manifest, window_hop_s);
    if (!ensemble.members.empty()) {
      check_same_labels(ensemble.members[0].manifest, member.manifest);
      check_same_windows(ensemble.members[0].manifest, member.manifest);
    }
    FrontEndSpec spec{.grid = position_in(ensemble.grids, member.manifest.grid()), .kind = member.manifest.kind};
    if (spec.kind == InputKind::mel) spec.mel = member.manifest.mel;
    member.front_end = position_in(ensemble.front_ends, spec);
    ensemble.members.push_back(std::move(member));
  }
  ensemble.labels = ensemble.members[0].manifest.labels;
  return ensemble;
}

void open_sessions(Ensemble& ensemble, const PredictOptions& options, int workers) {
  for (auto& member : ensemble.members) {
    OpenRequest request{.engine = options.engine, .batch = options.batch, .workers = workers};
    if (!member.manifest.clip_output.empty()) request.outputs = {member.manifest.clip_output};
    auto opened = open_best(member.manifest, request);
    member.engine = opened.setting.engine;
    member.batch = opened.setting.batch;
    member.manifest.model_path = opened.model_path;
    member.session = std::move(opened.session);
    member.check = opened.check;
  }
}

}  // namespace whimbrel
