#include "plan/cpu_peak.h"

#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <thread>
#include <vector>

#include "plan/fma_loop.h"
#include "whimbrel/core.h"

namespace whimbrel::plan {
namespace {

constexpr int kRounds = 20000;  // about 50 µs between two looks at the clock

// Which dot product there is decides the peak, and Highway 1.0 has none of them: so intrinsics, each for its own instruction
// set.

/// Eight chains of vpdpbusd: four products and their sum in each of 16 places.
__attribute__((target("avx512f,avx512vnni"))) double run_avx512_vnni(int rounds, float* sink) {
  const __m512i x = _mm512_set1_epi32(static_cast<int>(*sink) + 0x01020301), w = _mm512_set1_epi32(0x01010201);
  __m512i a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x;
  for (int r = 0; r < rounds; ++r) {
    a = _mm512_dpbusd_epi32(a, x, w);
    b = _mm512_dpbusd_epi32(b, x, w);
    c = _mm512_dpbusd_epi32(c, x, w);
    d = _mm512_dpbusd_epi32(d, x, w);
    e = _mm512_dpbusd_epi32(e, x, w);
    f = _mm512_dpbusd_epi32(f, x, w);
    g = _mm512_dpbusd_epi32(g, x, w);
    h = _mm512_dpbusd_epi32(h, x, w);
    // Equal chains would be folded into one.
    __asm__ volatile("" : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h));
  }
  const __m512i all = _mm512_xor_si512(_mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d)),
                                       _mm512_xor_si512(_mm512_xor_si512(e, f), _mm512_xor_si512(g, h)));
  *sink = static_cast<float>(_mm512_reduce_add_epi32(all) & 1);
  return 2.0 * 8 * 64 * rounds;
}

/// The same in 256 bits, as CPUs without AVX-512 have it.
__attribute__((target("avx2,avxvnni"))) double run_avx_vnni(int rounds, float* sink) {
  const __m256i x = _mm256_set1_epi32(static_cast<int>(*sink) + 0x01020301), w = _mm256_set1_epi32(0x01010201);
  __m256i a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x;
  for (int r = 0; r < rounds; ++r) {
    a = _mm256_dpbusd_avx_epi32(a, x, w);
    b = _mm256_dpbusd_avx_epi32(b, x, w);
    c = _mm256_dpbusd_avx_epi32(c, x, w);
    d = _mm256_dpbusd_avx_epi32(d, x, w);
    e = _mm256_dpbusd_avx_epi32(e, x, w);
    f = _mm256_dpbusd_avx_epi32(f, x, w);
    g = _mm256_dpbusd_avx_epi32(g, x, w);
    h = _mm256_dpbusd_avx_epi32(h, x, w);
    __asm__ volatile("" : "+x"(a), "+x"(b), "+x"(c), "+x"(d), "+x"(e), "+x"(f), "+x"(g), "+x"(h));
  }
  const __m256i all = _mm256_xor_si256(_mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d)),
                                       _mm256_xor_si256(_mm256_xor_si256(e, f), _mm256_xor_si256(g, h)));
  *sink = static_cast<float>(_mm256_extract_epi32(all, 0) & 1);
  return 2.0 * 8 * 32 * rounds;
}

/// Without VNNI three instructions do it: vpmaddubsw, vpmaddwd, vpaddd.
__attribute__((target("avx2"))) double run_avx2(int rounds, float* sink) {
  const __m256i x = _mm256_set1_epi32(static_cast<int>(*sink) + 0x01020301), ones = _mm256_set1_epi16(1);
  __m256i w = _mm256_set1_epi32(0x01010201);
  __m256i a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x;
  const auto add = [&](__m256i sum) __attribute__((target("avx2"), always_inline)) {
    __asm__ volatile("" : "+x"(w));  // else one product would serve all chains
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), ones));
  };
  for (int r = 0; r < rounds; ++r) {
    a = add(a);
    b = add(b);
    c = add(c);
    d = add(d);
    e = add(e);
    f = add(f);
    g = add(g);
    h = add(h);
  }
  const __m256i all = _mm256_xor_si256(_mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d)),
                                       _mm256_xor_si256(_mm256_xor_si256(e, f), _mm256_xor_si256(g, h)));
  *sink = static_cast<float>(_mm256_extract_epi32(all, 0) & 1);
  return 2.0 * 8 * 32 * rounds;
}

using Loop = double (*)(int rounds, float* sink);

Loop loop_of(const std::string& name) {
  if (name == "avx512_vnni") return run_avx512_vnni;
  if (name == "avx_vnni") return run_avx_vnni;
  return name == "avx2" ? run_avx2 : nullptr;
}

/// Operations a second of all threads; each counts over its own time, so that none waits for the others' last round.
double rate_of(Loop loop, int threads, double seconds) {
  if (loop == nullptr) return 0;
  std::latch ready(threads);
  std::vector<double> rates(static_cast<std::size_t>(threads));
  {
    std::vector<std::jthread> running;
    for (double& rate : rates) {
      running.emplace_back([&ready, &rate, loop, seconds] {
        float sink = 0;
        loop(kRounds, &sink);  // wide vectors take a moment to get going
        ready.arrive_and_wait();
        const auto begin = Clock::now();
        double done = 0, elapsed = 0;
        for (; elapsed < seconds; elapsed = seconds_between(begin, Clock::now())) {
          done += loop(kRounds, &sink);
          sink = sink > 1e30F ? 0 : sink * 1e-9F;
        }
        rate = done / elapsed;
      });
    }
  }
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

}  // namespace

std::string integer_loop() {
  const auto path = cpu_info().integer_path;
  if (path == "amx_int8") return "avx512_vnni";
  return path == "avx512bw" ? "avx2" : path;
}

Peak measure_peak(int threads, double seconds) {
  return {rate_of(run_fma, threads, seconds), rate_of(loop_of(integer_loop()), threads, seconds)};
}

}  // namespace whimbrel::plan
