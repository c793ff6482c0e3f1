#include "features/kernels.h"

#include <algorithm>
#include <cstring>
#include <limits>

// Vectors are members and array elements here, which the scalable instruction sets do not allow.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "features/kernels.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
// After it.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "features/fft-inl.h"

HWY_BEFORE_NAMESPACE();
namespace whimbrel {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR
/// Four samples of each of kCount / 4 columns, every fourth, side by side.
template <int kCount>
HWY_INLINE auto load_fours(const float* const* columns, int row) {
  if constexpr (kCount == 4) {
    return hn::LoadU(hn::FixedTag<float, 4>(), columns[0] + row);
  } else {
    return hn::Combine(hn::FixedTag<float, kCount>(), load_fours<kCount / 2>(columns + kCount / 2, row),
                       load_fours<kCount / 2>(columns, row));
  }
}

/// kCount columns at a time, in blocks of four by four.
template <int kCount>
HWY_INLINE void transpose_columns(const float* const* columns, int rows, int stride, float* out) {
  const hn::FixedTag<float, kCount> d;
  const hn::RepartitionToWide<decltype(d)> wide;
  for (int r = 0; r < rows; r += 4, out += 4 * stride) {
    const auto x0 = load_fours<kCount>(columns, r);
    const auto x1 = load_fours<kCount>(columns + 1, r);
    const auto x2 = load_fours<kCount>(columns + 2, r);
    const auto x3 = load_fours<kCount>(columns + 3, r);
    const auto low01 = hn::BitCast(wide, hn::InterleaveLower(d, x0, x1));
    const auto low23 = hn::BitCast(wide, hn::InterleaveLower(d, x2, x3));
    const auto high01 = hn::BitCast(wide, hn::InterleaveUpper(d, x0, x1));
    const auto high23 = hn::BitCast(wide, hn::InterleaveUpper(d, x2, x3));
    hn::StoreU(hn::BitCast(d, hn::InterleaveLower(wide, low01, low23)), d, out);
    hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(wide, low01, low23)), d, out + stride);
    hn::StoreU(hn::BitCast(d, hn::InterleaveLower(wide, high01, high23)), d, out + 2 * stride);
    hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(wide, high01, high23)), d, out + 3 * stride);
  }
}
#endif

/// panel[r * column_count + c] = columns[c][r]. Frames overlap: that is n_fft / hop times less to transpose than whole frames
/// would be, and sample s of frame f is then found at row s % hop, column f + s / hop.
inline void transpose(const FrameBatch& batch, float* panel) {
  const int stride = batch.column_count;
  int done_rows = 0;
#if HWY_TARGET != HWY_SCALAR
  done_rows = batch.rows / 4 * 4;
  int column = 0;
  for (; column + kLanes <= stride; column += kLanes) {
    transpose_columns<kLanes>(batch.columns + column, done_rows, stride, panel + column);
  }
  for (; column < stride; column += 4) transpose_columns<4>(batch.columns + column, done_rows, stride, panel + column);
#endif
  for (int r = done_rows; r < batch.rows; ++r) {
    for (int c = 0; c < stride; ++c) panel[r * stride + c] = batch.columns[c][r];
  }
}

/// The first `count` lanes, and not a byte more.
HWY_INLINE void store_first(V x, int count, float* to) {
  if (count >= kLanes) {
    hn::StoreU(x, kFloats, to);
    return;
  }
  HWY_ALIGN float all[kLanes];
  hn::Store(x, kFloats, all);
  for (int i = 0; i < std::min(count, kLanes); ++i) to[i] = all[i];
}

struct Square {
  HWY_INLINE V operator()(V squared) const { return squared; }
};
struct Magnitude {
  HWY_INLINE V operator()(V squared) const { return hn::Sqrt(squared); }
};
struct Power {
  V half;
  HWY_INLINE V operator()(V squared) const {
    const V raised = hn::Exp(kFloats, hn::Mul(half, hn::Log(kFloats, squared)));
    return hn::IfThenZeroElse(hn::Eq(squared, hn::Zero(kFloats)), raised);
  }
};

HWY_INLINE V squared_length(Complex x) { return hn::MulAdd(x.re, x.re, hn::Mul(x.im, x.im)); }

/// Two real spectra points from two complex ones: X[k] = E + w^k O and X[m - k] = conj(E - w^k O), where
/// E = Z[k] + conj Z[m - k] and O = -i (Z[k] - conj Z[m - k]); the window holds the factor 1/2.
template <class Raise>
void split_real(const MelTables& tables, Points z, const Raise& raise, float* magnitudes) {
  const int m = tables.points;
  const auto put = [&](int k, Complex x) { hn::Store(raise(squared_length(x)), kFloats, magnitudes + k * kLanes); };
  const Complex zero = z.get(0);
  const V two = broadcast(2);
  put(0, {hn::Mul(two, hn::Add(zero.re, zero.im)), hn::Zero(kFloats)});
  put(m, {hn::Mul(two, hn::Sub(zero.re, zero.im)), hn::Zero(kFloats)});
  for (int k = 1; k <= m - k; ++k) {
    const Complex a = z.get(k);
    const Complex b = z.get(m - k);
    const Complex even = {hn::Add(a.re, b.re), hn::Sub(a.im, b.im)};
    const Complex odd = {hn::Add(a.im, b.im), hn::Sub(b.re, a.re)};
    const Complex x = add_product(even, factor(tables.split.data() + 2 * k), odd);
    put(k, x);
    put(m - k, reflect(even, x));
  }
}

HWY_INLINE V band_sum(const MelBand& band, const float* magnitudes) {
  const int n = static_cast<int>(band.weights.size());
  const float* const w = band.weights.data();
  const float* const x = magnitudes + band.first * kLanes;
  V even = hn::Zero(kFloats);
  V odd = hn::Zero(kFloats);
  int i = 0;
  for (; i + 1 < n; i += 2) {
    even = hn::MulAdd(broadcast(w[i]), hn::Load(kFloats, x + i * kLanes), even);
    odd = hn::MulAdd(broadcast(w[i + 1]), hn::Load(kFloats, x + (i + 1) * kLanes), odd);
  }
  if (i < n) even = hn::MulAdd(broadcast(w[i]), hn::Load(kFloats, x + i * kLanes), even);
  return hn::Add(even, odd);
}

void mel_power(const MelTables& tables, const FrameBatch& batch, const Scratch& scratch, float* mel, std::int64_t mel_stride) {
  transpose(batch, scratch.panel);
  const Points spectrum{scratch.spectrum};
  run_passes(tables, tables.passes.size() - 1, Samples{scratch.panel, scratch.offsets, tables.window.data()}, spectrum, 0,
             tables.points);
  const double power = tables.config.power;
  if (power == 2) {
    split_real(tables, spectrum, Square{}, scratch.magnitudes);
  } else if (power == 1) {
    split_real(tables, spectrum, Magnitude{}, scratch.magnitudes);
  } else {
    split_real(tables, spectrum, Power{broadcast(static_cast<float>(power / 2))}, scratch.magnitudes);
  }
  for (const auto& band : tables.bands) {
    const V sum = band_sum(band, scratch.magnitudes);
    store_first(sum, batch.frames, mel);
    mel += mel_stride;
  }
}

struct Range {
  float low, high;
};

/// levels[i] = scale * ln(max(mel[i], amin)), or mel[i] itself.
Range apply_level(const MelConfig& config, const float* mel, float* levels, std::int64_t padded) {
  const bool logarithm = config.level != Level::none;
  constexpr double kDbPerNeper = 4.342944819032518;  // 10 / ln 10
  const V scale = broadcast(static_cast<float>(config.level == Level::log ? 1 : kDbPerNeper * (config.power == 1 ? 2 : 1)));
  const V amin = broadcast(static_cast<float>(config.amin));
  V low = broadcast(std::numeric_limits<float>::max());
  V high = hn::Neg(low);
  for (std::int64_t i = 0; i < padded; i += kLanes) {
    V x = hn::Load(kFloats, mel + i);
    if (logarithm) x = hn::Mul(scale, hn::Log(kFloats, hn::Max(x, amin)));
    low = hn::Min(low, x);
    high = hn::Max(high, x);
    hn::Store(x, kFloats, levels + i);
  }
  return {hn::GetLane(hn::MinOfLanes(kFloats, low)), hn::GetLane(hn::MaxOfLanes(kFloats, high))};
}

void finish(const MelConfig& config, float* mel, float* levels, std::int64_t n, float* plane) {
  const std::int64_t padded = (n + kLanes - 1) / kLanes * kLanes;
  std::fill(mel + n, mel + padded, mel[0]);  // leaves the smallest and the largest as they are
  const Range range = apply_level(config, mel, levels, padded);
  const float floor = config.top_db ? range.high - static_cast<float>(*config.top_db) : range.low;
  const float low = std::max(range.low, floor);
  float offset = config.ref == LevelRef::max ? range.high : 0;
  float gain = 1;
  if (config.normalize == Normalize::minmax) {
    offset = low;
    gain = 1 / (range.high - low + 1e-6F);
  } else if (config.normalize == Normalize::mean_std) {
    offset += static_cast<float>(config.mean);
    gain = static_cast<float>(1 / config.std);
  }
  const auto finished = [&](std::int64_t i) {
    return hn::Mul(hn::Sub(hn::Max(hn::Load(kFloats, levels + i), broadcast(low)), broadcast(offset)), broadcast(gain));
  };
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(finished(i), kFloats, plane + i);
  if (i < n) store_first(finished(i), static_cast<int>(n - i), plane + i);
}

SimdKernels kernels() { return {hwy::TargetName(HWY_TARGET), kLanes, mel_power, finish}; }

}  // namespace HWY_NAMESPACE
}  // namespace whimbrel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace whimbrel {

HWY_EXPORT(kernels);

SimdKernels simd_kernels() { return HWY_DYNAMIC_DISPATCH(kernels)(); }

std::string_view front_end_simd_target() { return simd_kernels().target; }

}  // namespace whimbrel
#endif
