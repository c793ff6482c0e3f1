// Which engine and batch to run a model with.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "whimbrel/engines.h"
#include "whimbrel/models.h"

namespace whimbrel {

struct Setting {
  EngineKind engine = EngineKind::onnxruntime;
  int batch = 1;

  bool operator==(const Setting&) const = default;
};

/// A session that has answered its probe.
struct OpenedModel {
  Setting setting;
  std::filesystem::path model_path;  // the manifest's, or the float model that its certificate prefers on this CPU
  std::unique_ptr<Session> session;
  SessionCheck check;
  double cost_s = 0;  // seconds of one worker for one window, of a timed run with nothing else running
};

struct OpenRequest {
  std::string engine = "auto";
  int batch = 0;  // 0: chosen
  int workers = 1;
  std::vector<std::string> outputs;  // the clip-wise one first; empty: the model's first
  std::optional<Setting> earlier;    // of "auto": what an earlier run has chosen
  double tuning_s = 0;               // most time to spend on finding a good setting with "auto"
};

/// Opens `manifest`'s model with the engine requested and checks it. With "auto":
/// - a model of `whimbrel quantize` by the engine that its integers are placed for, or, where its certificate from this CPU
/// says
///   to keep FP32, the float model beside it as if that had been named;
/// - the one that an earlier run has chosen, where one is gone on with;
/// - the best setting that tuning.json knows for this file, CPU and engines;
/// - else the best one found within `tuning_s`, which is kept in tuning.json;
/// - else the first engine installed that reads it, ONNX Runtime before OpenVINO, with one window a batch.
/// Never by the number of workers: outputs are the same to the bit for any.
/// @throws Error{invalid_argument} for an unknown engine, Error{unsupported} when none can read the file, Error{bad_manifest}
/// when the output does not fit the labels or the probe
OpenedModel open_best(const Manifest& manifest, const OpenRequest& request);

}  // namespace whimbrel
