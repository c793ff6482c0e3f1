// Signals to look at, and the SIMD targets to look with.
#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <numbers>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "whimbrel/core.h"
#include "whimbrel/features.h"

namespace whimbrel::features_test {

/// Uniform in [-amplitude, amplitude), always the same for a seed.
inline std::vector<float> noise(std::int64_t n, std::uint32_t seed = 1, float amplitude = 0.5F) {
  std::mt19937 bits(seed);
  std::vector<float> samples(static_cast<std::size_t>(n));
  for (float& x : samples) x = amplitude * (static_cast<float>(bits() >> 8) * 0x1p-23F - 1);
  return samples;
}

inline std::vector<float> tone(std::int64_t n, double hz, int rate_hz, double amplitude = 0.5) {
  std::vector<float> samples(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < samples.size(); ++i) {
    samples[i] = static_cast<float>(amplitude * std::sin(2 * std::numbers::pi * hz * static_cast<double>(i) / rate_hz));
  }
  return samples;
}

/// The plane of one window, by a front end of its own.
inline std::vector<float> plane_of(const MelConfig& config, int rate_hz, std::span<const float> window) {
  MelFrontEnd front_end(config, rate_hz, std::ssize(window), std::ssize(window));
  std::vector<float> plane(static_cast<std::size_t>(front_end.bands() * front_end.frames()));
  front_end.compute(window, plane);
  return plane;
}

/// The message of the Error that the action throws, checked to have this code; fails the test if none comes.
inline std::string message_of(ErrorCode code, const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(to_string(error.code()), to_string(code));
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

/// Runs the action with every SIMD target that this CPU has and the build made, one after the other.
inline void on_every_target(const std::function<void()>& action) {
  const std::int64_t all = hwy::SupportedTargets() | HWY_SCALAR;
  std::string last;
  for (std::int64_t bit = 1; bit > 0 && bit <= HWY_SCALAR; bit <<= 1) {
    if (!(all & bit)) continue;
    hwy::SetSupportedTargetsForTest(bit);
    const std::string name(front_end_simd_target());
    if (name == hwy::TargetName(bit)) {  // else it was not built, and another one stands in
      SCOPED_TRACE(name);
      action();
    }
  }
  hwy::SetSupportedTargetsForTest(0);
}

}  // namespace whimbrel::features_test
