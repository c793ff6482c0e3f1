#include "plan/cpu_peak.h"

#include <gmock/gmock.h>

#include "plan/fma_loop.h"
#include "whimbrel/core.h"

namespace whimbrel::plan {
namespace {

using ::testing::AnyOf;

TEST(CpuPeak, IsAboveZeroOnOneThreadAndOnMore) {
  for (const int threads : {1, 3}) {
    const auto peak = measure_peak(threads, 0.01);
    EXPECT_GT(peak.fma_per_s, 1e8) << "less than any CPU with a clock of 1 GHz does in scalars";
    EXPECT_GT(peak.integer_per_s, integer_loop() == "none" ? -1 : 1e8);
  }
}

TEST(CpuPeak, NamesTheLoopThatTheCpuHas) {
  EXPECT_THAT(integer_loop(), AnyOf("avx512_vnni", "avx_vnni", "avx2", "none"));
  const auto path = cpu_info().integer_path;
  EXPECT_EQ(integer_loop() == "avx2", path == "avx2" || path == "avx512bw") << path;
}

TEST(CpuPeak, CountsTwoOperationsForEachLaneOfTenChains) {
  float sink = 0;
  const double one = run_fma(1, &sink);
  EXPECT_EQ(static_cast<int>(one) % 20, 0);
  EXPECT_EQ(run_fma(100, &sink), 100 * one);
  EXPECT_NE(sink, 0) << "nothing was computed";
}

}  // namespace
}  // namespace whimbrel::plan
