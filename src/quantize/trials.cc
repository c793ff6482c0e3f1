#include "quantize/trials.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>

namespace whimbrel::quantize {
namespace {

Placement placement_for(EngineKind target, const Graph& graph, const Selection& selection, const ProductNames& integer) {
  return target == EngineKind::openvino ? place_for_openvino(graph, selection, integer)
                                        : place_for_onnxruntime(graph, selection, integer);
}

/// Energy of the difference as a share of the reference's.
double error_share(std::span<const float> reference, std::span<const float> other) {
  double signal = 1e-12;
  double error = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double difference = static_cast<double>(other[i]) - static_cast<double>(reference[i]);
    signal += static_cast<double>(reference[i]) * static_cast<double>(reference[i]);
    error += difference * difference;
  }
  return error / signal;
}

ProductNames names_of(const Selection& selection) {
  ProductNames names;
  for (const auto& product : selection.products) names.insert(product.name);
  return names;
}

}  // namespace

std::vector<float> probabilities_of(std::vector<float> scores, std::size_t classes, const QuantizeOptions& options) {
  if (!options.activate) return scores;
  for (std::size_t at = 0; at + classes <= scores.size(); at += classes) {
    options.activate(std::span(scores).subspan(at, classes));
  }
  return scores;
}

TrialWindows trial_windows(Session& float_model, const QuantizeOptions& options, std::size_t most) {
  const auto& all = options.calibration;
  const auto count = static_cast<std::size_t>(all.count);
  const auto output = outputs_of(float_model, all, options.workers)[0];
  const std::size_t d = output.size() / count;
  const auto probabilities = probabilities_of(output, d, options);
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater<>{}, [&](std::size_t row) {
    return *std::ranges::max_element(std::span(probabilities).subspan(row * d, d));
  });
  std::set<std::size_t> chosen(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(std::min(count, most / 2)));
  const std::size_t spread = std::min(count, most - most / 2);
  for (std::size_t i = 0; i < spread; ++i) chosen.insert(i * count / spread);

  TrialWindows windows;
  std::vector<std::int64_t> rows;
  for (const auto row : chosen) {
    rows.push_back(static_cast<std::int64_t>(row));
    const auto at = static_cast<std::ptrdiff_t>(row * d);
    windows.output.insert(windows.output.end(), output.begin() + at, output.begin() + at + static_cast<std::ptrdiff_t>(d));
  }
  windows.probabilities = probabilities_of(windows.output, d, options);
  windows.rows.count = static_cast<std::int64_t>(rows.size());
  windows.rows.read = [&all, rows](std::int64_t row, std::span<float> input) {
    all.read(rows[static_cast<std::size_t>(row)], input);
  };
  return windows;
}

std::set<std::string> tensors_to_watch(const Graph& graph, const Selection& selection, EngineKind target) {
  auto tensors = placement_for(target, graph, selection, names_of(selection)).tensors;
  for (const auto& product : selection.products) tensors.insert(graph.nodes[product.node].input(0));  // for the bias
  return tensors;
}

Workbench::Workbench(const QuantizeOptions& options, EngineKind target, const Graph& graph, const Selection& selection,
                     const Statistics& statistics, const std::map<std::string, ProductConstants>& constants,
                     const TrialWindows& windows, std::filesystem::path work_folder)
    : options_(options),
      target_(target),
      graph_(graph),
      selection_(selection),
      statistics_(statistics),
      constants_(constants),
      windows_(windows),
      folder_(std::move(work_folder)) {}

ProductNames Workbench::all_products() const { return names_of(selection_); }

Placement Workbench::place(const ProductNames& integer) const { return placement_for(target_, graph_, selection_, integer); }

const Ranges& Workbench::ranges_by(Observer observer) {
  auto& ranges = by_observer_[observer];
  if (!ranges.empty()) return ranges;
  for (const auto& [tensor, statistics] : statistics_) {
    ranges[tensor] = choose_range(statistics.histogram, observer, function_behind(graph_, tensor));
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
  trial.graph.save_scratch(trial.file);
  trial.session =
      open_session(target_, trial.file,
                   {.batch = 1, .workers = options_.workers, .row_shape = options_.row_shape, .outputs = options_.outputs});
  return trial;
}

double Workbench::noise(Session& session) const {
  const auto& [rows, reference, reference_probabilities] = windows_;
  const auto output = outputs_of(session, rows, options_.workers)[0];
  const std::size_t d = output.size() / static_cast<std::size_t>(rows.count);
  double of_output = 0;
  for (std::size_t at = 0; at < output.size(); at += d) {
    of_output += error_share(std::span(reference).subspan(at, d), std::span(output).subspan(at, d));
  }
  return of_output / static_cast<double>(rows.count) +
         error_share(reference_probabilities, probabilities_of(output, d, options_));
}

}  // namespace whimbrel::quantize
