// Convolutions and matrix products of 8-bit integers, written slowly from their definitions.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace whimbrel::reference {

/// y[o] = sum of w[o][i] x[i] over square kernels; a matrix product is a kernel of 1 on planes of 1 x 1.
struct ProductShape {
  int inputs = 1;
  int outputs = 1;
  int height = 1;
  int width = 1;
  int kernel = 1;
  int stride = 1;
  int pad = 0;
  int group = 1;

  int out_height() const { return (height + 2 * pad - kernel) / stride + 1; }
  int out_width() const { return (width + 2 * pad - kernel) / stride + 1; }
};

/// QuantizeLinear to U8: half to even, then saturated.
inline int quantized(double x, double scale, int zero_point) {
  return static_cast<int>(std::clamp(std::nearbyint(x / scale) + zero_point, 0.0, 255.0));
}

/// Exact sums in 64 bits. Padding is the real value 0, which is the zero point.
/// @param x  [inputs][height][width] as 0..255
/// @param w  [outputs][inputs / group][kernel][kernel] as -127..127
/// @return   [outputs][out_height][out_width]
inline std::vector<std::int64_t> integer_product(const std::vector<int>& x, int zero_point, const std::vector<int>& w,
                                                 const ProductShape& s) {
  std::vector<std::int64_t> sums;
  const int per_group = s.inputs / s.group;
  for (int o = 0; o < s.outputs; ++o) {
    const int first_input = o / (s.outputs / s.group) * per_group;
    for (int row = 0; row < s.out_height(); ++row) {
      for (int column = 0; column < s.out_width(); ++column) {
        std::int64_t sum = 0;
        for (int i = 0; i < per_group; ++i) {
          for (int kr = 0; kr < s.kernel; ++kr) {
            for (int kc = 0; kc < s.kernel; ++kc) {
              const int r = row * s.stride - s.pad + kr;
              const int c = column * s.stride - s.pad + kc;
              if (r < 0 || r >= s.height || c < 0 || c >= s.width) continue;
              const auto at_x = ((first_input + i) * s.height + r) * s.width + c;
              const auto at_w = ((o * per_group + i) * s.kernel + kr) * s.kernel + kc;
              sum += std::int64_t{x[static_cast<std::size_t>(at_x)] - zero_point} * w[static_cast<std::size_t>(at_w)];
            }
          }
        }
        sums.push_back(sum);
      }
    }
  }
  return sums;
}

}  // namespace whimbrel::reference
