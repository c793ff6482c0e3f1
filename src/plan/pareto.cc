#include "plan/pareto.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace whimbrel {
namespace {

constexpr int kBudgets = 12;

}  // namespace

std::vector<FrontPoint> undominated(std::vector<FrontPoint> points) {
  std::sort(points.begin(), points.end(), [](const FrontPoint& a, const FrontPoint& b) {
    return a.wall_s != b.wall_s ? a.wall_s < b.wall_s : a.score > b.score;
  });
  std::vector<FrontPoint> front;
  for (auto& point : points) {
    if (front.empty() || point.score > front.back().score) front.push_back(std::move(point));
  }
  return front;
}

std::vector<FrontPoint> pareto_front(const Problem& problem, Selector& selector) {
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < problem.candidates.size(); ++i) least = std::min(least, problem.wall_s({{i, 1}}));
  const auto point = [&](const Picks& picks) { return FrontPoint{problem.wall_s(picks), selector.score(picks), picks}; };
  std::vector<FrontPoint> points = {point(selector.best_weighted(std::numeric_limits<double>::infinity()))};
  const double ratio = points[0].wall_s / least;
  for (int i = 0; i < kBudgets; ++i) {
    // The last digit of the least budget must not shut the cheapest model out.
    const auto picks = selector.best_weighted(least * (1 + 1e-9) * std::pow(ratio, static_cast<double>(i) / kBudgets));
    if (!picks.empty()) points.push_back(point(picks));
  }
  return undominated(std::move(points));
}

}  // namespace whimbrel
