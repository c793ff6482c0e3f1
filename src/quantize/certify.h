// Steps 6 and 7: how an INT8 model compares with the float one over windows that calibration has not seen, and the verdict.
#pragma once

#include "quantize/trials.h"

namespace whimbrel::quantize {

/// The float model's answers over the certification windows.
struct Reference {
  std::vector<std::vector<float>> outputs;  // raw, per output
  std::vector<float> probabilities;         // of the first one
  std::size_t classes = 0;
  std::optional<double> auc;
};

Reference reference_of(Session& session, const QuantizeOptions& options);

/// Agreement, SQNR and score of `session` against the reference. Leaves speed and products alone.
void compare(Session& session, const Reference& reference, const QuantizeOptions& options, Certificate& certificate);

/// Which nodes ran as integers and how long, from the engine's own profiles of both models.
void fill_products(const Workbench& bench, const Trial& trial, const std::filesystem::path& float_model,
                   const std::map<std::string, std::string>& returned, Certificate& certificate);

/// The verdict in words and whether FP32 is to be kept.
void judge(Certificate& certificate);

}  // namespace whimbrel::quantize
