#include "plan/fma_loop.h"

// Vectors are local variables here in numbers that the scalable instruction sets do not promise.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plan/fma_loop.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
// After it.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace whimbrel::plan {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Ten chains hide an FMA's latency (4 cycles, two a cycle) and with their factors still fit in 16 registers.
double run(int rounds, float* sink) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, 0.999F + *sink * 1e-30F);  // so that the compiler cannot know it
  const auto term = hn::Set(d, 1e-3F);
  auto a = hn::Set(d, 0.1F), b = hn::Set(d, 0.2F), c = hn::Set(d, 0.3F), e = hn::Set(d, 0.4F), f = hn::Set(d, 0.5F);
  auto g = hn::Set(d, 0.6F), h = hn::Set(d, 0.7F), i = hn::Set(d, 0.8F), j = hn::Set(d, 0.9F), k = hn::Set(d, 1.0F);
  for (int r = 0; r < rounds; ++r) {
    a = hn::MulAdd(a, factor, term);
    b = hn::MulAdd(b, factor, term);
    c = hn::MulAdd(c, factor, term);
    e = hn::MulAdd(e, factor, term);
    f = hn::MulAdd(f, factor, term);
    g = hn::MulAdd(g, factor, term);
    h = hn::MulAdd(h, factor, term);
    i = hn::MulAdd(i, factor, term);
    j = hn::MulAdd(j, factor, term);
    k = hn::MulAdd(k, factor, term);
  }
  const auto all =
      hn::Add(hn::Add(hn::Add(a, b), hn::Add(c, e)), hn::Add(hn::Add(f, g), hn::Add(hn::Add(h, i), hn::Add(j, k))));
  *sink = hn::GetLane(hn::SumOfLanes(d, all));
  return 2.0 * 10 * static_cast<double>(hn::Lanes(d)) * rounds;
}

}  // namespace HWY_NAMESPACE
}  // namespace whimbrel::plan
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace whimbrel::plan {

HWY_EXPORT(run);

double run_fma(int rounds, float* sink) { return HWY_DYNAMIC_DISPATCH(run)(rounds, sink); }

}  // namespace whimbrel::plan
#endif
