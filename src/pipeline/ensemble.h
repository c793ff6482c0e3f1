// The models of a run: loaded, opened by an engine, checked, and what they need of each window worked out once.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/settings.h"
#include "whimbrel/engines.h"
#include "whimbrel/models.h"
#include "whimbrel/pipeline.h"

namespace whimbrel {

/// One distinct thing that members are fed; several members may share it.
struct FrontEndSpec {
  std::size_t grid = 0;            // index into Ensemble::grids
  std::int64_t shift_samples = 0;  // from the window's start
  InputKind kind = InputKind::mel;
  MelConfig mel;

  bool operator==(const FrontEndSpec&) const = default;
};

struct Member {
  Manifest manifest;
  double weight = 1;          // share in the ensemble
  double shift_s = 0;         // hears each window so much later: test-time augmentation
  std::size_t front_end = 0;  // index into Ensemble::front_ends
  EngineKind engine = EngineKind::onnxruntime;
  int batch = 1;
  std::optional<Setting> earlier;  // of the run that is gone on with
  /// Shared by members that differ in their shift only; null: left out, because a time budget did not allow to open it.
  std::shared_ptr<Session> session;
  SessionCheck check;
  std::string hash;           // of the model file
  double gain = 0;            // what the ensemble loses without it, on any one scale
  double cost_s = 0;          // seconds of one worker per window, first estimate
  std::size_t frames = 0;     // frames of its frame-wise output; 0: not asked for
  std::size_t embedding = 0;  // length of its embedding; 0: not asked for

  /// Nothing can be written without it.
  bool required() const { return frames > 0 || embedding > 0; }
};

/// A row of scores and what else a member gives for a window, one behind the other.
struct RowLayout {
  std::size_t classes = 0;
  std::size_t frames = 0;     // of [classes, frames] probabilities; 0: none
  std::size_t embedding = 0;  // 0: none

  std::size_t size() const { return classes + classes * frames + embedding; }
};

struct Ensemble {
  std::vector<Member> members;
  std::vector<WindowGrid> grids;         // one per distinct sample rate; the first member's first
  std::vector<FrontEndSpec> front_ends;  // distinct
  std::vector<Label> labels;
  std::optional<Cascade> cascade;
  Mean mean = Mean::arithmetic;
  double mean_power = 2;
  bool wants_frames = false;      // set before the sessions are opened
  bool wants_embeddings = false;  // likewise
  RowLayout layout;               // of combined rows

  std::vector<double> weights() const;

  /// Whether these rows (as of combine()) have all parts of a combined one: scores, and what else is asked for.
  bool has_all_parts(const std::vector<std::vector<float>>& rows) const;
  bool gated(std::size_t member) const { return cascade && member != cascade->gate; }

  /// The members' rows as one. Scores: the mean of the probabilities of the members that are there (untouched for Mean::rank,
  /// which needs all rows); the gate's calibrated ones where it stands alone in a cascade.
  /// @param rows  per member, as its RowLayout; empty: not there
  /// @param out   [layout.size()]
  void combine(const std::vector<std::vector<float>>& rows, std::span<float> out) const;
};

/// Position of `value` in `values`, where it is appended if it is new.
template <class T>
std::size_t position_in(std::vector<T>& values, const T& value) {
  const auto found = std::find(values.begin(), values.end(), value);
  if (found != values.end()) return static_cast<std::size_t>(found - values.begin());
  values.push_back(value);
  return values.size() - 1;
}

/// Loads the manifests and checks that they fit together. No engine is touched.
/// @throws Error{bad_manifest} when labels, window or hop differ between members
Ensemble load_ensemble(const std::vector<std::filesystem::path>& models, double window_hop_s);

/// The same with what `options` say of members and cascade.
/// @throws also Error{invalid_argument} where these do not fit the models, or a model is not the one that was planned
Ensemble load_ensemble(const PredictOptions& options);

/// Opens every member with the asked-for or the best engine and checks it on its probe. With a time budget the member with the
/// largest gain per second comes first, and what start-up has no time for is left out.
/// @throws Error{bad_manifest} when the label count does not match the output or the outputs are not finite; Error
/// {invalid_argument} where the budget is over before one member is open; what open_session throws
void open_sessions(Ensemble& ensemble, const PredictOptions& options, int workers);

/// Adds each member again for each time shift: it shares the session and its weight is split. Frames and embeddings stay those
/// of the windows that are not shifted.
void add_shifts(Ensemble& ensemble, const std::vector<double>& shifts_s);

}  // namespace whimbrel
