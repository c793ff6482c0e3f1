// Models of one graph in which more or fewer products are integer: written, opened, compared with the float model.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "quantize/constants.h"
#include "quantize/measure.h"
#include "quantize/place.h"
#include "quantize/units.h"

namespace whimbrel::quantize {

/// A quantized model on disk, opened by the engine that it is for.
struct Trial {
  ProductNames integer;
  Graph graph;
  std::filesystem::path file;
  std::unique_ptr<Session> session;
};

/// Some calibration windows, and what the float model says of them.
struct TrialWindows {
  WindowRows rows;
  std::vector<float> output;         // the first one, raw
  std::vector<float> probabilities;  // the same after the activation
};

/// `most` windows: half of them those in which the float model hears most, the others spread evenly.
TrialWindows trial_windows(Session& float_model, const QuantizeOptions& options, std::size_t most);

/// Every row's scores after the model's activation.
std::vector<float> probabilities_of(std::vector<float> scores, std::size_t classes, const QuantizeOptions& options);

/// All that trials for one engine share.
class Workbench {
 public:
  Workbench(const QuantizeOptions& options, EngineKind target, const Graph& graph, const Selection& selection,
            const Statistics& statistics, const std::map<std::string, ProductConstants>& constants, const TrialWindows& windows,
            std::filesystem::path work_folder);

  /// Which products may be integer at all.
  ProductNames all_products() const;
  /// For every tensor, or for those that the nodes of one unit make.
  void use_observer(Observer observer);
  void use_observer(Observer observer, const Unit& unit);

  /// @throws Error{engine} when the engine refuses the file
  Trial build(const ProductNames& integer);

  /// How far `session` is from the float model over the trial windows. Two shares of energy, added up: of the error in the
  /// first output, the mean over windows, because a few loud windows would outweigh all others; and of the error in the
  /// probabilities, over all windows, because those few are where something calls.
  double noise(Session& session) const;

  const TrialWindows& windows() const { return windows_; }
  const QuantizeOptions& options() const { return options_; }
  EngineKind target() const { return target_; }
  const Graph& graph() const { return graph_; }
  const Selection& selection() const { return selection_; }

 private:
  Placement place(const ProductNames& integer) const;

  const QuantizeOptions& options_;
  EngineKind target_;
  const Graph& graph_;
  const Selection& selection_;
  const Statistics& statistics_;
  const std::map<std::string, ProductConstants>& constants_;
  const TrialWindows& windows_;
  std::filesystem::path folder_;
  const Ranges& ranges_by(Observer observer);

  std::map<Observer, Ranges> by_observer_;  // made on first use
  Ranges ranges_;                           // in use
  int built_ = 0;
};

/// Every tensor that any placement for this engine quantizes.
std::set<std::string> tensors_to_watch(const Graph& graph, const Selection& selection, EngineKind target);

}  // namespace whimbrel::quantize
