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

/// Opens `manifest`'s model with the engine named, or with "auto" the first one installed that reads it (ONNX Runtime before
/// OpenVINO), and checks it.
/// @param batch  0: chosen
/// @throws Error{invalid_argument} for an unknown engine, Error{unsupported} when none can read the file, Error{bad_manifest}
/// when the output does not fit the labels or the probe
OpenedModel open_best(const Manifest& manifest, const std::string& engine, int batch, int workers);

}  // namespace whimbrel
