// The models of a run: loaded, opened by an engine, checked, and what they need of each window worked out once.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "whimbrel/engines.h"
#include "whimbrel/models.h"
#include "whimbrel/pipeline.h"

namespace whimbrel {

/// One distinct thing that members are fed; several members may share it.
struct FrontEndSpec {
  std::size_t grid = 0;  // index into Ensemble::grids
  InputKind kind = InputKind::mel;
  MelConfig mel;

  bool operator==(const FrontEndSpec&) const = default;
};

struct Member {
  Manifest manifest;
  std::size_t front_end = 0;  // index into Ensemble::front_ends
  EngineKind engine = EngineKind::onnxruntime;
  int batch = 1;
  std::unique_ptr<Session> session;
  SessionCheck check;
};

struct Ensemble {
  std::vector<Member> members;
  std::vector<WindowGrid> grids;         // one per distinct sample rate; the first member's first
  std::vector<FrontEndSpec> front_ends;  // distinct
  std::vector<Label> labels;

  /// Weighted arithmetic mean of the members' probabilities, added up in member order so that the bits never depend on timing.
  /// @param rows  one [classes] row per member
  void combine(const std::vector<std::vector<float>>& rows, std::span<float> mean) const;
};

/// Loads the manifests and checks that they fit together. No engine is touched.
/// @throws Error{bad_manifest} when labels, window or hop differ between members
Ensemble load_ensemble(const std::vector<std::filesystem::path>& models, double window_hop_s);

/// Opens every member with the asked-for or the best engine and checks it on its probe.
/// @throws Error{bad_manifest} when the label count does not match the output or the outputs are not finite; what open_session
/// throws
void open_sessions(Ensemble& ensemble, const PredictOptions& options, int workers);

}  // namespace whimbrel
