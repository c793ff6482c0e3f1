#include "quantize/choose.h"

#include <algorithm>
#include <array>
#include <limits>

namespace whimbrel::quantize {
namespace {

/// Less than this is the noise of a busy machine.
constexpr double kClearlySlower = 1.01;

bool is_slower(const UnitEffect& effect) { return effect.time_ratio > kClearlySlower && effect.ratio_low > 1; }

double harm_per_time(const UnitEffect& effect) {
  constexpr double kLeastTime = 1e-3;  // share of the network's time: what costs nothing to return goes first
  return effect.noise_saved / std::max(kLeastTime, 1 / effect.time_ratio - 1);
}

constexpr std::array kObservers = {Observer::mse, Observer::percentile, Observer::entropy, Observer::minmax};

double noise_of(Workbench& bench, const WindowRows& rows, const std::vector<float>& reference) {
  const auto trial = bench.build(bench.all_products());
  std::filesystem::remove(trial.file);
  return bench.noise(*trial.session, rows, reference);
}

}  // namespace

ObserverChoice choose_observers(Workbench& bench, const std::vector<Unit>& units, std::optional<Observer> only,
                                const WindowRows& rows, const std::vector<float>& reference) {
  ObserverChoice choice;
  if (only) {
    bench.use_observer(*only);
    return {*only, {}, noise_of(bench, rows, reference)};
  }
  choice.noise = std::numeric_limits<double>::infinity();
  for (const auto observer : kObservers) {
    bench.use_observer(observer);
    const double noise = noise_of(bench, rows, reference);
    if (noise >= choice.noise) continue;
    choice.noise = noise;
    choice.observer = observer;
  }
  bench.use_observer(choice.observer);
  for (const auto& unit : units) {
    auto best = choice.observer;
    for (const auto observer : kObservers) {
      if (observer == choice.observer) continue;
      bench.use_observer(observer, unit);
      constexpr double kClearlyLess = 0.98;
      const double noise = noise_of(bench, rows, reference);
      if (noise >= kClearlyLess * choice.noise) continue;
      choice.noise = noise;
      best = observer;
    }
    bench.use_observer(best, unit);
    if (best != choice.observer) ++choice.units[std::string(to_string(best))];
  }
  return choice;
}

std::vector<UnitEffect> measure_units(Workbench& bench, Trial& all, const std::vector<Unit>& units, const WindowRows& rows,
                                      const std::vector<float>& reference) {
  constexpr double kSeconds = 0.6;
  const double noise = bench.noise(*all.session, rows, reference);
  std::vector<UnitEffect> effects;
  for (const auto& unit : units) {
    auto integer = all.integer;
    for (const auto& product : unit.products) integer.erase(product);
    auto trial = bench.build(integer);
    const auto speed = measure_latency(*all.session, *trial.session, rows, kSeconds);
    effects.push_back({unit, speed.ratio, speed.ratio_low, noise - bench.noise(*trial.session, rows, reference)});
    std::filesystem::remove(trial.file);
  }
  return effects;
}

std::vector<const UnitEffect*> slower_units(const std::vector<UnitEffect>& effects) {
  std::vector<const UnitEffect*> slower;
  for (const auto& effect : effects) {
    if (is_slower(effect)) slower.push_back(&effect);
  }
  return slower;
}

std::vector<const UnitEffect*> by_harm(const std::vector<UnitEffect>& effects) {
  std::vector<const UnitEffect*> order;
  for (const auto& effect : effects) {
    if (!is_slower(effect)) order.push_back(&effect);
  }
  std::ranges::stable_sort(order, [](const auto* a, const auto* b) { return harm_per_time(*a) > harm_per_time(*b); });
  return order;
}

}  // namespace whimbrel::quantize
