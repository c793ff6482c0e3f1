// Which engine and batch to run a model with.
#pragma once

#include <memory>
#include <string>

#include "whimbrel/engines.h"
#include "whimbrel/models.h"

namespace whimbrel {

struct Setting {
  EngineKind engine = EngineKind::onnxruntime;
  int batch = 1;
};

/// A session that has answered its probe.
struct OpenedModel {
  Setting setting;
  std::unique_ptr<Session> session;
  SessionCheck check;
};

/// Opens `manifest`'s model with the engine named, or with "auto" the one that proves fastest: engines and batches are tried
/// with all workers for up to two seconds or a tenth of the expected run; a short run starts with what is usually best.
/// @param batch             0: chosen
/// @param expected_windows  roughly how many windows the run has
/// @throws Error{invalid_argument} for an unknown engine, Error{unsupported} when none can read the file, Error{bad_manifest}
/// when the output does not fit the labels or the probe
OpenedModel open_best(const Manifest& manifest, const std::string& engine, int batch, int workers, double expected_windows);

}  // namespace whimbrel
