#include "quantize/calibrate.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "quantize/measure.h"
#include "quantize/networks.h"

namespace whimbrel::quantize {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const Shape kRow = {3, 6, 5};
constexpr std::int64_t kRows = 11;

class Calibrate : public InFolder {};

/// Images, then a matrix product of rows whose channels are last.
Network mixed_network() {
  Network net(kRow);
  net.add("Relu", "relu", {net.conv("c", "x", 3, 4)});
  net.add("Reshape", "rows", {"relu", net.constant("shape", std::vector<std::int64_t>{0, 12, 10})});
  net.add("Sigmoid", "y", {net.matmul("m", "rows", 10, 7)});
  net.output("y", {12, 7});
  return net;
}

TEST_F(Calibrate, CountsWhatADirectComputationCounts) {
  const auto graph = mixed_network().graph();
  const auto rows = random_rows(kRows);
  const auto found = calibrate(graph, {"x", "c", "relu", "rows", "y"}, {"rows"}, rows, kRow, 1, folder_);
  ASSERT_EQ(found.size(), 5U);
  graph.with_outputs({"c", "relu", "rows"}).save(folder_ / "m.onnx");
  const auto values = answers(EngineKind::onnxruntime, folder_ / "m.onnx", kRow, rows);  // y, c, relu, rows
  const auto expect = [&](const std::string& name, const std::vector<float>& all, std::size_t channels, std::size_t inner) {
    const auto& s = found.at(name);
    Histogram histogram;
    histogram.add(all);
    EXPECT_EQ(s.histogram.bins(), histogram.bins()) << name;
    EXPECT_EQ(s.histogram.count(), std::ssize(all));
    EXPECT_EQ(s.histogram.min(), *std::ranges::min_element(all));
    EXPECT_EQ(s.histogram.max(), *std::ranges::max_element(all));
    std::vector<double> sum(channels);
    std::vector<float> most(channels);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::size_t channel = i / inner % channels;
      sum[channel] += static_cast<double>(all[i]);
      most[channel] = std::max(most[channel], std::abs(all[i]));
    }
    EXPECT_EQ(s.channel_max, most) << name;
    ASSERT_EQ(s.channel_mean.size(), channels);
    for (std::size_t c = 0; c < channels; ++c) {
      // Rows are summed in float32, here in float64.
      EXPECT_NEAR(s.channel_mean[c], sum[c] * static_cast<double>(channels) / static_cast<double>(all.size()), 1e-6);
    }
  };
  std::vector<float> inputs(static_cast<std::size_t>(kRows * element_count(kRow)));
  for (std::int64_t r = 0; r < kRows; ++r) rows.read(r, std::span(inputs).subspan(static_cast<std::size_t>(r * 90), 90));
  expect("x", inputs, 3, 30);
  expect("c", values[1], 4, 30);
  expect("relu", values[2], 4, 30);
  expect("rows", values[3], 10, 1);
  expect("y", values[0], 12, 7);
}

TEST_F(Calibrate, GivesTheSameForAnyNumberOfWorkers) {
  const auto graph = mixed_network().graph();
  const auto one = calibrate(graph, {"x", "c", "y"}, {}, random_rows(kRows), kRow, 1, folder_);
  for (const int workers : {2, 3, 16}) {  // 16: some have no row
    const auto other = calibrate(graph, {"x", "c", "y"}, {}, random_rows(kRows), kRow, workers, folder_);
    for (const auto& [name, s] : one) {
      EXPECT_EQ(other.at(name).histogram.bins(), s.histogram.bins());
      EXPECT_EQ(other.at(name).histogram.min(), s.histogram.min());
      EXPECT_EQ(other.at(name).histogram.max(), s.histogram.max());
      EXPECT_EQ(other.at(name).channel_max, s.channel_max);
      ASSERT_EQ(other.at(name).channel_mean.size(), s.channel_mean.size());
      for (std::size_t c = 0; c < s.channel_mean.size(); ++c) {
        EXPECT_NEAR(other.at(name).channel_mean[c], s.channel_mean[c], 1e-12);  // sums of doubles in another order
      }
    }
  }
}

TEST_F(Calibrate, LeavesNoFileBehind) {
  calibrate(mixed_network().graph(), {"c"}, {}, random_rows(2), kRow, 1, folder_);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(Calibrate, RefusesATensorThatIsNotFinite) {
  Network net(kRow);
  net.add("Log", "log", {net.add("Relu", "relu", {"x"})});
  net.add("Sigmoid", "y", {"log"});
  net.output("y", kRow);
  EXPECT_THAT(
      error_of(ErrorCode::bad_manifest, [&] { calibrate(net.graph(), {"log", "relu"}, {}, random_rows(2), kRow, 2, folder_); }),
      AllOf(HasSubstr("'log'"), HasSubstr("not finite"), HasSubstr("predict with it first")));
}

TEST_F(Calibrate, PassesOnWhatReadingARowThrows) {
  const WindowRows rows = {9, [](std::int64_t row, std::span<float>) {
                             if (row == 5) throw Error(ErrorCode::io, "row 5 is gone");
                           }};
  for (const int workers : {1, 3}) {
    EXPECT_THAT(error_of(ErrorCode::io, [&] { calibrate(mixed_network().graph(), {"c"}, {}, rows, kRow, workers, folder_); }),
                HasSubstr("row 5 is gone"));
  }
}

class Measure : public InFolder {};

TEST_F(Measure, GivesPositiveTimesInOrder) {
  mixed_network().save(folder_ / "m.onnx");
  const auto open = [&] {
    return open_session(EngineKind::onnxruntime, folder_ / "m.onnx", {.batch = 1, .workers = 2, .row_shape = kRow});
  };
  const auto a = open(), b = open();
  auto speed = measure_latency(*a, *b, random_rows(3), 0.01);
  EXPECT_GT(speed.base_ms, 0);
  EXPECT_GT(speed.other_ms, 0);
  EXPECT_GT(speed.ratio_low, 0);
  EXPECT_LE(speed.ratio_low, speed.ratio);
  EXPECT_LE(speed.ratio, speed.ratio_high);
  const auto ratio = speed.ratio;
  measure_throughput(*a, *b, random_rows(1), 2, 0.1, speed);
  EXPECT_GT(speed.base_per_s, 0);
  EXPECT_GT(speed.other_per_s, 0);
  EXPECT_GT(speed.throughput_ratio, 0);
  EXPECT_EQ(speed.ratio, ratio);
}

TEST_F(Measure, RunsBothOnTheSameRows) {
  mixed_network().save(folder_ / "m.onnx");
  const auto session = open_session(EngineKind::onnxruntime, folder_ / "m.onnx", {.batch = 1, .workers = 1, .row_shape = kRow});
  std::vector<std::int64_t> read;
  const WindowRows rows = {3, [&](std::int64_t row, std::span<float> input) {
                             read.push_back(row);
                             std::ranges::fill(input, 0.5F);
                           }};
  measure_latency(*session, *session, rows, 0);
  ASSERT_GE(read.size(), 2U * 15);
  for (std::size_t i = 0; i < read.size(); i += 2) {
    EXPECT_EQ(read[i], read[i + 1]);
    EXPECT_LT(read[i], 3);
    EXPECT_GE(read[i], 0);
  }
}

}  // namespace
}  // namespace whimbrel::quantize
