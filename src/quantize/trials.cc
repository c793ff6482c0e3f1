#include "quantize/trials.h"

#include <fmt/format.h>

#include <algorithm>

namespace whimbrel::quantize {
namespace {

Placement placement_for(EngineKind target, const Graph& graph, const Selection& selection, const ProductNames& integer) {
  return target == EngineKind::openvino ? place_for_openvino(graph, selection, integer)
                                        : place_for_onnxruntime(graph, selection, integer);
}

ProductNames names_of(const Selection& selection) {
  ProductNames names;
  for (const auto& product : selection.products) names.insert(product.name);
  return names;
}

}  // namespace

std::set<std::string> tensors_to_watch(const Graph& graph, const Selection& selection, EngineKind target) {
  auto tensors = placement_for(target, graph, selection, names_of(selection)).tensors;
  for (const auto& product : selection.products) tensors.insert(graph.nodes[product.node].input(0));  // for the bias
  return tensors;
}

Workbench::Workbench(const QuantizeOptions& options, EngineKind target, const Graph& graph, const Selection& selection,
                     const Statistics& statistics, const std::map<std::string, ProductConstants>& constants,
                     std::filesystem::path work_folder)
    : options_(options),
      target_(target),
      graph_(graph),
      selection_(selection),
      statistics_(statistics),
      constants_(constants),
      folder_(std::move(work_folder)) {}

ProductNames Workbench::all_products() const { return names_of(selection_); }

Placement Workbench::place(const ProductNames& integer) const { return placement_for(target_, graph_, selection_, integer); }

const Ranges& Workbench::ranges_by(Observer observer) {
  auto& ranges = by_observer_[observer];
  if (!ranges.empty()) return ranges;
  for (const auto& [tensor, statistics] : statistics_) {
    // The shape of a distribution cannot be told from few values, such as those of a squeezed plane.
    constexpr std::int64_t kFewValues = 1 << 20;
    const bool few = statistics.histogram.count() < kFewValues && observer != Observer::minmax;
    ranges[tensor] = choose_range(statistics.histogram, few ? Observer::mse : observer, function_behind(graph_, tensor));
  }
  return ranges;
}

void Workbench::use_observer(Observer observer) { ranges_ = ranges_by(observer); }

void Workbench::use_observer(Observer observer, const Unit& unit) {
  for (const auto& [tensor, range] : ranges_by(observer)) {
    const std::size_t producer = graph_.producer(tensor).value_or(0);  // the input belongs to the first unit
    if (producer >= unit.begin && producer < unit.end) ranges_[tensor] = range;
  }
}

Trial Workbench::build(const ProductNames& integer) {
  check_cancelled(options_);
  Trial trial{integer, with_quantization(graph_, place(integer), ranges_, constants_, target_),
              folder_ / fmt::format("{}-{}.onnx", to_string(target_), built_++), nullptr};
  trial.graph.save(trial.file);
  trial.session =
      open_session(target_, trial.file,
                   {.batch = 1, .workers = options_.workers, .row_shape = options_.row_shape, .outputs = options_.outputs});
  return trial;
}

double Workbench::noise(Session& session, const WindowRows& rows, const std::vector<float>& reference) const {
  const auto outputs = outputs_of(session, rows, options_.workers);
  const std::size_t d = outputs[0].size() / static_cast<std::size_t>(rows.count);
  double total = 0;
  for (std::size_t r = 0; r < static_cast<std::size_t>(rows.count); ++r) {
    double signal = 1e-12;
    double error = 0;
    for (std::size_t i = r * d; i < (r + 1) * d; ++i) {
      const double difference = static_cast<double>(outputs[0][i]) - static_cast<double>(reference[i]);
      signal += static_cast<double>(reference[i]) * static_cast<double>(reference[i]);
      error += difference * difference;
    }
    total += error / signal;
  }
  return total / static_cast<double>(rows.count);
}

}  // namespace whimbrel::quantize
