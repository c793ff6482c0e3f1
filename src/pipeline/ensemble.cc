#include "pipeline/ensemble.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "pipeline/mean.h"

#include "whimbrel/io.h"

namespace whimbrel {
namespace {

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

double calibrated(double p, const Cascade& cascade) {
  constexpr double kEdge = 1e-7;
  p = std::clamp(p, kEdge, 1 - kEdge);
  return 1 / (1 + std::exp(-(cascade.slope * std::log(p / (1 - p)) + cascade.offset)));
}

/// Indexes of the rows that are there.
std::vector<std::size_t> present(const std::vector<std::vector<float>>& rows) {
  std::vector<std::size_t> members;
  for (std::size_t m = 0; m < rows.size(); ++m) {
    if (!rows[m].empty()) members.push_back(m);
  }
  return members;
}

/// Weighted arithmetic mean over the members `there` of the part of their rows that begins at `from`.
void mean_of(const std::vector<Member>& members, const std::vector<std::size_t>& there,
             const std::vector<std::vector<float>>& rows, std::size_t from, std::span<float> mean) {
  if (there.size() == 1) {
    std::ranges::copy(std::span(rows[there[0]]).subspan(from, mean.size()), mean.begin());
    return;
  }
  double total = 0;
  for (const auto m : there) total += members[m].weight;
  for (std::size_t c = 0; c < mean.size(); ++c) {
    double sum = 0;
    for (const auto m : there) sum += members[m].weight * rows[m][from + c];
    mean[c] = static_cast<float>(sum / total);
  }
}

void check_cascade(const Ensemble& ensemble, const Cascade& cascade) {
  const std::size_t count = ensemble.members.size();
  if (count < 2 || cascade.gate >= count) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("a cascade with member {} of {} as its gate, expected one of two members or more", cascade.gate, count));
  }
  if (ensemble.mean == Mean::rank) {
    throw Error(ErrorCode::invalid_argument, "a cascade compares scores, which ranks are not; choose another --mean");
  }
  if (std::isfinite(cascade.threshold) && std::isfinite(cascade.slope) && std::isfinite(cascade.offset)) return;
  throw Error(ErrorCode::invalid_argument, "a cascade's threshold, slope and offset must be finite numbers");
}

void take_settings(Member& member, const MemberSettings& settings) {
  if (settings.weight != 0) member.weight = settings.weight;
  if (!(member.weight > 0) || !std::isfinite(member.weight)) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: weight {}, expected above 0", member.manifest.path.string(), member.weight));
  }
  member.gain = settings.gain;
  member.cost_s = settings.cost_s;
  if (settings.model_hash.empty()) return;
  const auto hash = file_hash(member.manifest.model_path);
  if (hash == settings.model_hash) return;
  throw Error(ErrorCode::bad_manifest,
              fmt::format("{}: its hash is {}, expected {} as planned; plan again, or bring the planned file back",
                          member.manifest.model_path.string(), hash, settings.model_hash));
}

/// Without a plan a member is worth its weight.
void default_gains(Ensemble& ensemble) {
  const bool planned = std::ranges::any_of(ensemble.members, [](const Member& m) { return m.gain > 0; });
  if (planned) return;
  for (auto& member : ensemble.members) member.gain = member.weight;
}

}  // namespace

std::vector<double> Ensemble::weights() const {
  std::vector<double> weights;
  for (const auto& member : members) weights.push_back(member.weight);
  return weights;
}

bool Ensemble::has_all_parts(const std::vector<std::vector<float>>& rows) const {
  bool scores = false, frames = layout.frames == 0, embedding = layout.embedding == 0;
  for (const auto m : present(rows)) {
    scores = true;
    frames = frames || members[m].frames > 0;
    embedding = embedding || members[m].embedding > 0;
  }
  return scores && frames && embedding;
}

void Ensemble::combine(const std::vector<std::vector<float>>& rows, std::span<float> out) const {
  const auto there = present(rows);
  const auto scores = out.first(layout.classes);
  if (cascade && there.size() == 1 && there[0] == cascade->gate) {
    std::ranges::transform(std::span(rows[there[0]]).first(layout.classes), scores.begin(),
                           [&](float p) { return static_cast<float>(calibrated(p, *cascade)); });
  } else if (mean != Mean::rank) {
    whimbrel::combine(mean, mean_power, weights(), rows, scores);
  }
  const auto frames = out.subspan(layout.classes, layout.classes * layout.frames);
  if (!frames.empty()) {
    std::vector<std::size_t> with_frames;
    std::ranges::copy_if(there, std::back_inserter(with_frames), [&](std::size_t m) { return members[m].frames > 0; });
    mean_of(members, with_frames, rows, layout.classes, frames);
  }
  const auto embedding = out.last(layout.embedding);
  for (const auto m : there) {
    if (members[m].embedding > 0) std::ranges::copy(std::span(rows[m]).last(layout.embedding), embedding.begin());
  }
}

Ensemble load_ensemble(const std::vector<std::filesystem::path>& models, double window_hop_s) {
  if (models.empty()) throw Error(ErrorCode::invalid_argument, "no model given, expected at least one --model");
  Ensemble ensemble;
  for (const auto& reference : models) {
    Member member;
    member.manifest = load_manifest(reference);
    member.weight = member.manifest.weight;
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
  ensemble.layout.classes = ensemble.labels.size();
  return ensemble;
}

Ensemble load_ensemble(const PredictOptions& options) {
  auto ensemble = load_ensemble(options.models, options.window_hop_s);
  if (!options.members.empty()) {
    if (options.members.size() != ensemble.members.size()) {
      throw Error(ErrorCode::invalid_argument, fmt::format("settings of {} members for {} models, expected as many",
                                                           options.members.size(), ensemble.members.size()));
    }
    for (std::size_t m = 0; m < ensemble.members.size(); ++m) take_settings(ensemble.members[m], options.members[m]);
  }
  ensemble.mean = options.mean;
  ensemble.mean_power = options.mean_power;
  ensemble.cascade = options.cascade;
  if (ensemble.cascade) check_cascade(ensemble, *ensemble.cascade);
  default_gains(ensemble);
  return ensemble;
}

}  // namespace whimbrel
