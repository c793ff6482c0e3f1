#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/manifest_values.h"

namespace whimbrel {
namespace {

constexpr std::size_t kMostWeights = 99;
constexpr int kMostMedianFrames = 9999;
constexpr std::string_view kEvents = "events.";

bool is_kernel(const std::vector<double>& weights) {
  if (weights.empty()) return true;
  const auto good = [](double w) { return std::isfinite(w) && w >= 0; };
  return weights.size() % 2 == 1 && weights.size() <= kMostWeights && std::all_of(weights.begin(), weights.end(), good) &&
         weights[weights.size() / 2] > 0;
}

bool are_shifts(std::vector<double> shifts, double window_s) {
  std::sort(shifts.begin(), shifts.end());
  const auto good = [&](double s) { return s != 0 && std::abs(s) < window_s; };
  return std::all_of(shifts.begin(), shifts.end(), good) && std::adjacent_find(shifts.begin(), shifts.end()) == shifts.end();
}

std::optional<Fault> fault_of(const EventRule& rule) {
  const auto fault = [](std::string_view key, std::string expected) {
    return Fault{std::string(kEvents) + std::string(key), std::move(expected)};
  };
  if (rule.median_frames < 1 || rule.median_frames > kMostMedianFrames || rule.median_frames % 2 == 0) {
    return fault("median_frames", fmt::format("an odd whole number, 1..{}", kMostMedianFrames));
  }
  if (!(rule.high > 0 && rule.high <= 1)) return fault("high", "a number in (0, 1]");
  if (!(rule.low > 0 && rule.low <= rule.high)) return fault("low", fmt::format("a number in (0, {}], high", rule.high));
  return std::nullopt;
}

}  // namespace

std::optional<Fault> fault_of(const PostProcess& post, double window_s) {
  if (!is_kernel(post.smooth)) {
    return Fault{"smooth", fmt::format("an odd number (at most {}) of weights of 0 or more, the middle one above 0, such as "
                                       "[0.1, 0.2, 0.4, 0.2, 0.1]",
                                       kMostWeights)};
  }
  if (!(post.prior_power > 0 && post.prior_power <= 10)) return Fault{"prior_power", "a number in (0, 10]"};
  if (post.merge_gap_s && !(*post.merge_gap_s >= 0 && *post.merge_gap_s <= 86400)) {
    return Fault{"merge_gap_s", "a number of seconds, 0..86400"};
  }
  if (!are_shifts(post.tta_shifts_s, window_s)) {
    return Fault{"tta_shifts_s",
                 fmt::format("distinct numbers of seconds, not 0 and between -{0} and {0}, the window", window_s)};
  }
  return post.events ? fault_of(*post.events) : std::nullopt;
}

void read_post_process(TomlReader& table, Manifest& m) {
  auto& post = m.post;
  post.smooth = table.numbers("smooth");
  if (table.has("smooth") && post.smooth.empty()) table.refuse("smooth", "weights, or no such key");
  post.prior = table.word<Prior>("prior", {{"none", Prior::none}, {"max", Prior::max}, {"mean", Prior::mean}}, post.prior);
  post.prior_power = table.number("prior_power", post.prior_power);
  if (table.has("prior_power") && post.prior == Prior::none) table.refuse("prior_power", "no such key without prior");
  if (const double gap_s = table.number("merge_gap_s", 0); table.has("merge_gap_s")) post.merge_gap_s = gap_s;
  post.species_list = table.text("species_list", "");
  post.thresholds = table.text("thresholds", "");
  post.tta_shifts_s = table.numbers("tta_shifts_s");
  TomlReader events = table.table("events");
  if (events.exists()) {
    if (m.frame_output.empty()) {
      table.refuse("events", "no such table unless output.frame names the frame-wise output that events are made of");
    }
    EventRule rule;
    rule.median_frames = integer(events, "median_frames", rule.median_frames, 1, kMostMedianFrames);
    rule.high = events.number("high", rule.high);
    rule.low = events.number("low", std::min(rule.low, rule.high));
    post.events = rule;
  }
  if (const auto fault = fault_of(post, m.window_s)) {
    if (fault->key.starts_with(kEvents)) events.refuse(fault->key.substr(kEvents.size()), fault->expected);
    table.refuse(fault->key, fault->expected);
  }
  events.finish();
  table.finish();
}

void find_post_process_files(const TomlReader& table, Manifest& m) {
  for (auto [key, path] : {std::pair("species_list", &m.post.species_list), std::pair("thresholds", &m.post.thresholds)}) {
    if (table.has(key)) *path = file_at(table, key, m.path, path->string());
  }
}

}  // namespace whimbrel
