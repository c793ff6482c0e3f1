// FFT of as many frames as there are lanes: in place, decimation in time, mixed radix. Compiled once per SIMD target.
//
// Radix 2 and 4 butterflies are written as chains of fused multiply-adds (a + w b, then 2 a - (a + w b)), which takes 24
// operations and two factors for radix 4, where the textbook's takes 34 and three: w3 d = w1 (w2 d).
// Blocks are finished depth first while they are in the first-level cache: of 1024 points only the last pass or two leave it.
#if defined(WHIMBREL_FEATURES_FFT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WHIMBREL_FEATURES_FFT_INL_H_
#undef WHIMBREL_FEATURES_FFT_INL_H_
#else
#define WHIMBREL_FEATURES_FFT_INL_H_
#endif

#include <hwy/highway.h>

#include "features/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace whimbrel {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;
using V = hn::Vec<Floats>;

constexpr Floats kFloats;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(kFloats));

struct Complex {
  V re, im;
};

HWY_INLINE V broadcast(float x) { return hn::Set(kFloats, x); }

/// Points of the spectrum, in place.
struct Points {
  float* data;

  HWY_INLINE Complex get(int p) const {
    return {hn::Load(kFloats, data + 2 * kLanes * p), hn::Load(kFloats, data + 2 * kLanes * p + kLanes)};
  }
  HWY_INLINE void set(int p, Complex x) const {
    hn::Store(x.re, kFloats, data + 2 * kLanes * p);
    hn::Store(x.im, kFloats, data + 2 * kLanes * p + kLanes);
  }
};

/// Points under the window, straight from the transposed samples: the first pass reads these.
struct Samples {
  const float* panel;
  const int* offsets;
  const float* window;

  HWY_INLINE Complex get(int p) const {
    return {hn::Mul(hn::LoadU(kFloats, panel + offsets[2 * p]), broadcast(window[2 * p])),
            hn::Mul(hn::LoadU(kFloats, panel + offsets[2 * p + 1]), broadcast(window[2 * p + 1]))};
  }
};

/// a + w b
HWY_INLINE Complex add_product(Complex a, Complex w, Complex b) {
  return {hn::NegMulAdd(w.im, b.im, hn::MulAdd(w.re, b.re, a.re)), hn::MulAdd(w.im, b.re, hn::MulAdd(w.re, b.im, a.im))};
}

/// 2 a - b
HWY_INLINE Complex reflect(Complex a, Complex b) {
  const V two = broadcast(2);
  return {hn::MulSub(two, a.re, b.re), hn::MulSub(two, a.im, b.im)};
}

HWY_INLINE Complex add(Complex a, Complex b) { return {hn::Add(a.re, b.re), hn::Add(a.im, b.im)}; }
HWY_INLINE Complex sub(Complex a, Complex b) { return {hn::Sub(a.re, b.re), hn::Sub(a.im, b.im)}; }
HWY_INLINE Complex minus_i(Complex a) { return {a.im, hn::Neg(a.re)}; }
HWY_INLINE Complex factor(const float* w) { return {broadcast(w[0]), broadcast(w[1])}; }

template <class In>
HWY_INLINE void pass2(const FftPass& pass, const float* w, In in, Points out, int base) {
  for (int j = base; j < base + pass.length; ++j, w += 2) {
    const Complex a = in.get(j);
    const Complex sum = add_product(a, factor(w), in.get(j + pass.length));
    out.set(j, sum);
    out.set(j + pass.length, reflect(a, sum));
  }
}

HWY_INLINE void pass4(const FftPass& pass, const float* w, Points x, int base) {
  const int m = pass.length;
  for (int j = base; j < base + m; ++j, w += 4) {
    const Complex w1 = factor(w);
    const Complex w2 = factor(w + 2);
    const Complex a = x.get(j);
    const Complex b = x.get(j + m);
    const Complex ac = add_product(a, w2, x.get(j + 2 * m));
    const Complex bd = add_product(b, w2, x.get(j + 3 * m));
    const Complex ac_less = reflect(a, ac);
    const Complex bd_less = reflect(b, bd);
    const Complex y0 = add_product(ac, w1, bd);
    const Complex y1 = add_product(ac_less, minus_i(w1), bd_less);
    x.set(j, y0);
    x.set(j + m, y1);
    x.set(j + 2 * m, reflect(ac, y0));
    x.set(j + 3 * m, reflect(ac_less, y1));
  }
}

/// The first radix-4 pass: all factors are 1.
HWY_INLINE void pass4_first(Samples in, Points out, int base) {
  const Complex a = in.get(base);
  const Complex b = in.get(base + 1);
  const Complex c = in.get(base + 2);
  const Complex d = in.get(base + 3);
  const Complex ac = add(a, c);
  const Complex bd = add(b, d);
  const Complex ac_less = sub(a, c);
  const Complex bd_turned = minus_i(sub(b, d));
  out.set(base, add(ac, bd));
  out.set(base + 1, add(ac_less, bd_turned));
  out.set(base + 2, sub(ac, bd));
  out.set(base + 3, sub(ac_less, bd_turned));
}

/// Odd radices up to kMaxPrimeFactor, by the symmetry of their cosines and sines: about radix^2 operations.
/// kRadix is 0 where the radix is known at run time only.
template <int kRadix, class In>
HWY_INLINE void pass_odd(const FftPass& pass, const float* w, In in, Points out, int base) {
  const int radix = kRadix > 0 ? kRadix : pass.radix;
  const int half = radix / 2;
  const int m = pass.length;
  const float* roots = w + 2 * m * (radix - 1);
  Complex sums[(kRadix > 0 ? kRadix : kMaxPrimeFactor) / 2];
  Complex differences[(kRadix > 0 ? kRadix : kMaxPrimeFactor) / 2];
  const Complex zero = {hn::Zero(kFloats), hn::Zero(kFloats)};
  for (int j = base; j < base + m; ++j, w += 2 * (radix - 1)) {
    const Complex x0 = in.get(j);
    Complex y0 = x0;
    for (int p = 1; p <= half; ++p) {
      const Complex a = add_product(zero, factor(w + 2 * (p - 1)), in.get(j + p * m));
      const Complex b = add_product(zero, factor(w + 2 * (radix - p - 1)), in.get(j + (radix - p) * m));
      sums[p - 1] = add(a, b);
      differences[p - 1] = sub(a, b);
      y0 = add(y0, sums[p - 1]);
    }
    for (int q = 1; q <= half; ++q) {
      Complex even = x0;
      Complex odd = zero;
      for (int p = 1, turn = q; p <= half; ++p, turn = (turn + q) % radix) {
        const Complex root = factor(roots + 2 * turn);
        even = {hn::MulAdd(root.re, sums[p - 1].re, even.re), hn::MulAdd(root.re, sums[p - 1].im, even.im)};
        odd = {hn::MulAdd(root.im, differences[p - 1].re, odd.re), hn::MulAdd(root.im, differences[p - 1].im, odd.im)};
      }
      out.set(j + q * m, add(even, minus_i(odd)));
      out.set(j + (radix - q) * m, sub(even, minus_i(odd)));
    }
    out.set(j, y0);
  }
}

/// One pass over the points [begin, end).
template <class In>
void run_pass(const MelTables& tables, const FftPass& pass, In in, Points out, int begin, int end) {
  const float* w = tables.twiddles.data() + pass.twiddles;
  const int block = pass.radix * pass.length;
  for (int base = begin; base < end; base += block) {
    switch (pass.radix) {
      case 4:
        if constexpr (std::is_same_v<In, Samples>) {
          pass4_first(in, out, base);
        } else {
          pass4(pass, w, out, base);
        }
        break;
      case 2:
        pass2(pass, w, in, out, base);
        break;
      case 3:
        pass_odd<3>(pass, w, in, out, base);
        break;
      case 5:
        pass_odd<5>(pass, w, in, out, base);
        break;
      default:
        pass_odd<0>(pass, w, in, out, base);
    }
  }
}

/// Half of the smallest first-level cache that is common.
constexpr int kBlockPoints = 16384 / static_cast<int>(2 * sizeof(float) * kLanes);

/// Passes 0 .. depth over the points [begin, end), which they turn into one block of the last.
inline void run_passes(const MelTables& tables, std::size_t depth, Samples in, Points out, int begin, int end) {
  const FftPass& last = tables.passes[depth];
  if (end - begin > kBlockPoints && depth > 0) {
    for (int sub = begin; sub < end; sub += last.length) run_passes(tables, depth - 1, in, out, sub, sub + last.length);
    run_pass(tables, last, out, out, begin, end);
    return;
  }
  run_pass(tables, tables.passes[0], in, out, begin, end);
  for (std::size_t i = 1; i <= depth; ++i) run_pass(tables, tables.passes[i], out, out, begin, end);
}

}  // namespace HWY_NAMESPACE
}  // namespace whimbrel
HWY_AFTER_NAMESPACE();

#endif
