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

/// All that trials for one engine share.
class Workbench {
 public:
  Workbench(const QuantizeOptions& options, EngineKind target, const Graph& graph, const Selection& selection,
            const Statistics& statistics, const std::map<std::string, ProductConstants>& constants,
            std::filesystem::path work_folder);

  /// Which products may be integer at all.
  ProductNames all_products() const;
  /// For every tensor, or for those that the nodes of one unit make.
  void use_observer(Observer observer);
  void use_observer(Observer observer, const Unit& unit);

  /// @throws Error{engine} when the engine refuses the file
  Trial build(const ProductNames& integer);

  /// Mean over windows of the error's energy in the first output, as a share of the float output's.
  double noise(Session& session, const WindowRows& rows, const std::vector<float>& reference) const;

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
  std::filesystem::path folder_;
  const Ranges& ranges_by(Observer observer);

  std::map<Observer, Ranges> by_observer_;  // made on first use
  Ranges ranges_;                           // in use
  int built_ = 0;
};

/// Every tensor that any placement for this engine quantizes.
std::set<std::string> tensors_to_watch(const Graph& graph, const Selection& selection, EngineKind target);

}  // namespace whimbrel::quantize
