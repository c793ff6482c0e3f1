#include "quantize/calibrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace whimbrel::quantize {
namespace {

namespace fs = std::filesystem;

/// How a tensor [outer][channels][inner] is cut into channels.
struct Layout {
  std::size_t channels = 0;  // 0: has none
  std::size_t inner = 1;
};

Layout layout_of(const Shape& shape, bool last_axis) {
  if (shape.size() < 2) return {};
  if (last_axis) return {static_cast<std::size_t>(shape.back()), 1};
  Layout layout{static_cast<std::size_t>(shape[1]), 1};
  for (std::size_t i = 2; i < shape.size(); ++i) layout.inner *= static_cast<std::size_t>(shape[i]);
  return layout;
}

/// Sums of one worker over one tensor.
struct Watch {
  Histogram histogram;
  Layout layout;
  std::vector<double> sum;
  std::vector<float> max;
  double count = 0;  // values a channel

  void add(std::span<const float> values) {
    histogram.add(values);
    if (layout.channels == 0) return;
    sum.resize(layout.channels);
    max.resize(layout.channels);
    const std::size_t blocks = values.size() / layout.inner;
    for (std::size_t b = 0; b < blocks; ++b) {
      const auto block = values.subspan(b * layout.inner, layout.inner);
      float total = 0;
      float most = 0;
      for (const float v : block) {
        total += v;
        most = std::max(most, std::abs(v));
      }
      auto& channel_max = max[b % layout.channels];
      sum[b % layout.channels] += total;
      channel_max = std::max(channel_max, most);
    }
    count += static_cast<double>(values.size()) / static_cast<double>(layout.channels);
  }

  void merge(const Watch& other) {
    histogram.merge(other.histogram);
    sum.resize(std::max(sum.size(), other.sum.size()));
    max.resize(sum.size());
    for (std::size_t c = 0; c < other.sum.size(); ++c) {
      sum[c] += other.sum[c];
      max[c] = std::max(max[c], other.max[c]);
    }
    count += other.count;
  }

  TensorStatistics statistics() const {
    TensorStatistics result{histogram, sum, max};
    for (auto& mean : result.channel_mean) mean /= count;
    return result;
  }
};

void check_finite(const Statistics& statistics) {
  for (const auto& [name, tensor] : statistics) {
    if (tensor.histogram.non_finite() == 0) continue;
    throw Error(
        ErrorCode::bad_manifest,
        fmt::format("{} values of tensor '{}' are not finite over the calibration windows; the model or its front end is "
                    "broken: predict with it first",
                    tensor.histogram.non_finite(), name));
  }
}

}  // namespace

Statistics calibrate(const Graph& graph, const std::set<std::string>& tensors, const std::set<std::string>& last_axis,
                     const WindowRows& rows, const Shape& row_shape, int workers, const fs::path& work_folder) {
  std::vector<std::string> outputs;
  std::ranges::copy_if(tensors, std::back_inserter(outputs), [&](const auto& t) { return t != graph.input(); });
  const auto file = work_folder / "calibrate.onnx";
  graph.with_outputs(outputs).save(file);
  const auto session =
      open_session(EngineKind::onnxruntime, file,
                   {.batch = 1, .workers = workers, .row_shape = row_shape, .outputs = outputs, .any_output_shape = true});

  std::vector<std::vector<Watch>> watches(static_cast<std::size_t>(workers), std::vector<Watch>(outputs.size()));
  std::vector<Watch> inputs(static_cast<std::size_t>(workers));
  for (std::size_t w = 0; w < watches.size(); ++w) {
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      watches[w][i].layout = layout_of(session->outputs()[i].shape, last_axis.contains(outputs[i]));
    }
    inputs[w].layout = layout_of(session->input().shape, last_axis.contains(graph.input()));
  }
  run_rows(*session, rows, workers, [&](int worker, std::int64_t, Runner& runner) {
    auto& own = watches[static_cast<std::size_t>(worker)];
    for (std::size_t i = 0; i < own.size(); ++i) own[i].add(runner.output(i));
    inputs[static_cast<std::size_t>(worker)].add(runner.input());
  });

  Statistics statistics;
  for (std::size_t w = 1; w < watches.size(); ++w) {
    for (std::size_t i = 0; i < outputs.size(); ++i) watches[0][i].merge(watches[w][i]);
    inputs[0].merge(inputs[w]);
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) statistics[outputs[i]] = watches[0][i].statistics();
  if (tensors.contains(graph.input())) statistics[graph.input()] = inputs[0].statistics();
  check_finite(statistics);
  fs::remove(file);
  return statistics;
}

}  // namespace whimbrel::quantize
