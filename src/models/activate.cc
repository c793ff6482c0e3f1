#include <algorithm>
#include <cmath>

#include "whimbrel/models.h"

namespace whimbrel {
namespace {

/// Each branch only takes exp() of what is not positive, so nothing overflows.
float sigmoid(float x) {
  if (x >= 0) return 1.0F / (1.0F + std::exp(-x));
  const float e = std::exp(x);
  return e / (1.0F + e);
}

void softmax(std::span<float> row) {
  if (row.empty()) return;
  const float largest = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (float& x : row) {
    x = std::exp(x - largest);
    sum += x;
  }
  for (float& x : row) x = static_cast<float>(x / sum);
}

}  // namespace

void activate(const Manifest& manifest, std::span<float> row) {
  if (manifest.logit_clip > 0) {
    const auto limit = static_cast<float>(manifest.logit_clip);
    // Not std::clamp: a NaN must stay one, so that it is noticed.
    for (float& x : row) x = x > limit ? limit : (x < -limit ? -limit : x);
  }
  switch (manifest.activation) {
    case Activation::sigmoid:
      std::transform(row.begin(), row.end(), row.begin(), sigmoid);
      break;
    case Activation::softmax:
      softmax(row);
      break;
    case Activation::none:
      break;
  }
}

}  // namespace whimbrel
