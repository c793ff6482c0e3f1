#include "pipeline/post_process.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace whimbrel {
namespace {

/// Beyond it powers of probabilities vanish in float64.
constexpr double kLargestPower = 100;

using Take = std::function<void(std::int64_t, std::span<const float>)>;

/// Weighted mean of each window and its neighbours; at the ends, of those that there are.
class Smoother {
 public:
  Smoother(const std::vector<double>& weights, const Take& take)
      : weights_(weights), half_(static_cast<std::int64_t>(weights.size() / 2)), take_(take), rows_(weights.size()) {}

  void add(std::span<const float> row) {
    row_at(count_++).assign(row.begin(), row.end());
    if (count_ > half_) give(count_ - 1 - half_);
  }

  void finish() {
    for (std::int64_t i = std::max<std::int64_t>(count_ - half_, 0); i < count_; ++i) give(i);
  }

 private:
  std::vector<float>& row_at(std::int64_t index) { return rows_[static_cast<std::size_t>(index) % rows_.size()]; }

  void give(std::int64_t index) {
    sums_.assign(row_at(index).size(), 0.0);
    double total = 0;
    for (std::int64_t i = std::max<std::int64_t>(index - half_, 0); i < std::min(index + half_ + 1, count_); ++i) {
      const double weight = weights_[static_cast<std::size_t>(i - index + half_)];
      const auto& row = row_at(i);
      total += weight;
      for (std::size_t c = 0; c < sums_.size(); ++c) sums_[c] += weight * row[c];
    }
    smooth_.resize(sums_.size());
    std::transform(sums_.begin(), sums_.end(), smooth_.begin(), [&](double sum) { return static_cast<float>(sum / total); });
    take_(index, smooth_);
  }

  const std::vector<double>& weights_;
  const std::int64_t half_;
  const Take& take_;
  std::vector<std::vector<float>> rows_;  // the last ones, by index
  std::int64_t count_ = 0;
  std::vector<double> sums_;
  std::vector<float> smooth_;
};

Rows smoothed(Rows rows, std::vector<double> weights) {
  return [rows = std::move(rows), weights = std::move(weights)](const Take& take) {
    Smoother smoother(weights, take);
    rows([&](std::int64_t, std::span<const float> row) { smoother.add(row); });
    smoother.finish();
  };
}

/// What a recording's scores are multiplied with, per class.
std::vector<double> prior_of(const Rows& rows, Prior kind, double power) {
  std::vector<double> prior;
  double count = 0;
  rows([&](std::int64_t, std::span<const float> row) {
    prior.resize(row.size());
    ++count;
    for (std::size_t c = 0; c < row.size(); ++c)
      prior[c] = kind == Prior::mean ? prior[c] + row[c] : std::max<double>(prior[c], row[c]);
  });
  for (double& p : prior) p = std::pow(std::max(kind == Prior::mean ? p / count : p, 0.0), power);
  return prior;
}

Rows with_prior(Rows rows, Prior kind, double power) {
  return [rows = std::move(rows), kind, power](const Take& take) {
    const auto prior = prior_of(rows, kind, power);
    std::vector<float> scaled(prior.size());
    rows([&](std::int64_t index, std::span<const float> row) {
      std::transform(row.begin(), row.end(), prior.begin(), scaled.begin(),
                     [](float score, double factor) { return static_cast<float>(score * factor); });
      take(index, scaled);
    });
  };
}

Rows only_listed(Rows rows, std::vector<bool> listed) {
  return [rows = std::move(rows), listed = std::move(listed)](const Take& take) {
    std::vector<float> left(listed.size());
    rows([&](std::int64_t index, std::span<const float> row) {
      for (std::size_t c = 0; c < left.size(); ++c) left[c] = listed[c] ? row[c] : 0.0F;
      take(index, left);
    });
  };
}

void refuse(const std::string& message) { throw Error(ErrorCode::invalid_argument, message); }

void override_events(const PostProcessOverrides& o, std::optional<EventRule>& rule) {
  if (o.events && !rule) rule.emplace();
  if (!rule) {
    if (o.event_median_frames || o.event_high || o.event_low) {
      refuse(
          "--event-median, --event-high or --event-low without events, expected --events too; or [postprocess.events] in "
          "the manifest");
    }
    return;
  }
  if (o.event_median_frames) rule->median_frames = *o.event_median_frames;
  if (o.event_low) rule->low = *o.event_low;
  if (!o.event_high) return;
  // A new high alone keeps the ratio.
  if (!o.event_low) rule->low *= *o.event_high / rule->high;
  rule->high = *o.event_high;
}

}  // namespace

PostProcess resolve_post_process(const Manifest& first, const PredictOptions& options) {
  const auto& o = options.post;
  PostProcess post = o.ignore_manifest ? PostProcess{} : first.post;
  if (o.smooth) post.smooth = *o.smooth;
  if (o.prior) post.prior = *o.prior;
  if (o.prior_power) post.prior_power = *o.prior_power;
  if (o.merge_gap_s) post.merge_gap_s = o.merge_gap_s;
  if (!o.species_list.empty()) post.species_list = o.species_list;
  if (!o.thresholds.empty()) post.thresholds = o.thresholds;
  if (o.tta_shifts_s) post.tta_shifts_s = *o.tta_shifts_s;
  override_events(o, post.events);
  if (!(options.mean_power > 0 && options.mean_power <= kLargestPower)) {
    refuse(fmt::format("--mean-power {}, expected a number in (0, {}]", options.mean_power, kLargestPower));
  }
  if (o.prior_power && post.prior == Prior::none) refuse("--prior-power without a prior, expected --prior max or mean too");
  if (const auto fault = fault_of(post, first.window_s)) {
    refuse(
        fmt::format("post-processing: {} cannot be used, expected {} (docs/postprocessing.md)", fault->key, fault->expected));
  }
  if (post.events && options.top_k > 0) {
    refuse("--top-k with events, expected one of them: it is about the detections of a window, and events have none");
  }
  return post;
}

Rows post_processed(Rows scores, const PostProcess& post, const std::vector<bool>& listed) {
  if (!post.smooth.empty()) scores = smoothed(std::move(scores), post.smooth);
  if (post.prior != Prior::none) scores = with_prior(std::move(scores), post.prior, post.prior_power);
  const bool all = std::all_of(listed.begin(), listed.end(), [](bool is_listed) { return is_listed; });
  return all ? scores : only_listed(std::move(scores), listed);
}

}  // namespace whimbrel
