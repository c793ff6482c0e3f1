// The arithmetic that this CPU could do at best: short loops of nothing but multiply-adds in registers.
#pragma once

#include <string>

namespace whimbrel::plan {

/// Two operations for each multiply-add, summed over the threads.
struct Peak {
  double fma_per_s = 0;      // float32
  double integer_per_s = 0;  // 8-bit products added up in 32 bits; 0 where there is no such loop
};

/// Runs both loops on `threads` threads at once, for `seconds` each.
Peak measure_peak(int threads, double seconds);

/// The instructions of the integer loop: "avx512_vnni", "avx_vnni", "avx2", or "none". AMX has no loop here: on such a CPU it
/// is "avx512_vnni".
std::string integer_loop();

}  // namespace whimbrel::plan
