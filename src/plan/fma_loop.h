// Float multiply-adds in registers, compiled once per SIMD target and chosen at run time.
#pragma once

namespace whimbrel::plan {

/// @param sink  read and written, so that nothing is left out
/// @return      operations done, two for each multiply-add
double run_fma(int rounds, float* sink);

}  // namespace whimbrel::plan
