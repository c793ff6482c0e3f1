#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "whimbrel/engines.h"

namespace whimbrel {
namespace {

std::uint32_t lowbias32(std::uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352dU;
  x ^= x >> 15;
  x *= 0x846ca68bU;
  x ^= x >> 16;
  return x;
}

using Outputs = std::vector<std::vector<float>>;

Outputs run(Runner& runner, std::size_t outputs, std::span<const float> input) {
  std::ranges::copy(input, runner.input().begin());
  runner.run();
  Outputs all;
  for (std::size_t i = 0; i < outputs; ++i) {
    const auto values = runner.output(i);
    all.emplace_back(values.begin(), values.end());
  }
  return all;
}

void check_finite(const Session& session, const Outputs& outputs, std::string_view what) {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto bad = std::ranges::find_if(outputs[i], [](float v) { return !std::isfinite(v); });
    if (bad == outputs[i].end()) continue;
    throw Error(
        ErrorCode::bad_manifest,
        fmt::format("{}: value {} of output '{}' is {} on known input, expected finite values; the weights or the conversion "
                    "are broken: export the model again, or try the other engine",
                    what, bad - outputs[i].begin(), session.outputs()[i].name, *bad));
  }
}

double difference_to(std::span<const float> expected, std::span<const float> got, double tolerance, std::string_view what) {
  if (expected.size() != got.size()) {
    throw Error(ErrorCode::bad_manifest,
                fmt::format("{}: the recorded probe has {} values, a row of the output has {}; export the "
                            "model again or delete [probe]",
                            what, expected.size(), got.size()));
  }
  double largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double difference = std::abs(static_cast<double>(expected[i]) - static_cast<double>(got[i]));
    if (!(difference <= largest)) largest = difference;  // so written, a NaN stays
    if (std::isnan(largest)) break;
  }
  if (!(largest <= tolerance)) {
    throw Error(ErrorCode::bad_manifest,
                fmt::format("{}: the output on the probe input is off by {:.3g}, expected at most {:.3g}; the model "
                            "file is not the one of the manifest, or this engine computes it wrongly: try the other",
                            what, largest, tolerance));
  }
  return largest;
}

/// True if row `a` of one run and row `b` of another hold the same bits in every output.
bool same_row(const Outputs& one, std::size_t a, const Outputs& other, std::size_t b, std::size_t batch) {
  for (std::size_t i = 0; i < one.size(); ++i) {
    const std::size_t n = one[i].size() / batch;
    if (std::memcmp(&one[i][a * n], &other[i][b * n], n * sizeof(float)) != 0) return false;
  }
  return true;
}

/// Two more runs: every row moved by one place; then every other row replaced by louder data, because a network that normalizes
/// over the whole batch is blind to the order of the rows but not to their values.
bool rows_are_independent(const Session& session, Runner& runner, std::span<const float> input, const Outputs& first) {
  const auto batch = static_cast<std::size_t>(session.input().shape[0]);
  const std::size_t row = input.size() / batch;
  std::vector<float> other(input.begin(), input.end());
  std::ranges::rotate(other, other.begin() + static_cast<std::ptrdiff_t>(row));
  const Outputs rotated = run(runner, first.size(), other);
  for (std::size_t r = 0; r < batch; ++r) {
    if (!same_row(first, (r + 1) % batch, rotated, r, batch)) return false;
  }
  std::ranges::copy(input, other.begin());
  for (std::size_t i = 0; i < other.size(); ++i) {
    if (i / row % 2 == 1) other[i] = 3 * other[i] - 1;
  }
  const Outputs louder = run(runner, first.size(), other);
  for (std::size_t r = 0; r < batch; r += 2) {
    if (!same_row(first, r, louder, r, batch)) return false;
  }
  return true;
}

}  // namespace

std::vector<float> probe_input(std::int64_t n) {
  std::vector<float> values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(lowbias32(static_cast<std::uint32_t>(i)) >> 8) * 0x1p-24F;
  }
  return values;
}

SessionCheck check_session(Session& session, std::span<const float> expected, double tolerance, std::string_view what) {
  const auto runner = session.make_runner();
  const std::vector<float> input = probe_input(element_count(session.input().shape));  // row 0 is the probe itself
  const Outputs first = run(*runner, session.outputs().size(), input);
  check_finite(session, first, what);

  SessionCheck check;
  const auto batch = static_cast<std::size_t>(session.input().shape[0]);
  if (!expected.empty()) {
    check.probe_difference = difference_to(expected, std::span(first[0]).first(first[0].size() / batch), tolerance, what);
  }
  check.rows_independent = batch == 1 || rows_are_independent(session, *runner, input, first);
  return check;
}

}  // namespace whimbrel
