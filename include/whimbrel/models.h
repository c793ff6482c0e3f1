// Models: the manifest beside a model file says what the network is fed and what its numbers mean.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "whimbrel/audio.h"
#include "whimbrel/core.h"
#include "whimbrel/features.h"

namespace whimbrel {

enum class InputKind { mel, waveform };
enum class Activation { sigmoid, softmax, none };
enum class FrameAxis { class_first, class_last };

/// A class. "Poecile atricapillus_Black-capped Chickadee" and "Dog_Dog" have both names (a space before the first underscore,
/// or the same twice); any other line is both.
struct Label {
  std::string text;  // the line as it stands in the file: the column name of a submission
  std::string scientific;
  std::string common;

  bool operator==(const Label&) const = default;
};

/// Splits at the first underscore into scientific and common name when a space stands before it, as in every binomial
/// ("Poecile atricapillus_Black-capped Chickadee"), or when both halves are the same (BirdNET's "Dog_Dog"). Any other line
/// ("species_00") is both names.
Label parse_label(std::string line);

/// What a manifest records of PyTorch's own answer, to check an engine against at every start.
struct Probe {
  std::vector<float> output;  // [classes] clip-wise output for probe_input() as one row
  double tolerance = 1e-3;
};

enum class Prior { none, max, mean };

/// How frame-wise scores become events: a median filter, then two thresholds.
struct EventRule {
  int median_frames = 1;  // odd; 1: no filter
  double high = 0.5;      // an event has a frame at or above it
  double low = 0.2;       // and lasts as long as frames are at or above this

  bool operator==(const EventRule&) const = default;
};

/// What is done with scores before they are written. docs/postprocessing.md says it with formulas.
struct PostProcess {
  std::vector<double> smooth;  // weights of neighbouring windows, odd length; empty: none
  Prior prior = Prior::none;   // scores times the recording's maximum or mean of the class, to the power of prior_power
  double prior_power = 1;
  std::optional<double> merge_gap_s;   // detections of a class that are no further apart become one
  std::filesystem::path species_list;  // classes that may be found; empty: all
  std::filesystem::path thresholds;    // CSV `class,threshold`; empty: one threshold for all
  std::optional<EventRule> events;     // detections come from the frame-wise output
  std::vector<double> tta_shifts_s;    // each window is scored again, moved by these

  bool operator==(const PostProcess&) const = default;
};

/// A value that cannot be used.
struct Fault {
  std::string key;  // of [postprocess]: "smooth", "events.low"
  std::string expected;
};
/// The first one, if there is one.
std::optional<Fault> fault_of(const PostProcess& post, double window_s);

/// A manifest, read and checked. docs/manifest.md describes every key.
struct Manifest {
  std::filesystem::path path;        // of the manifest
  std::filesystem::path model_path;  // of the model file, inside the manifest's folder
  std::filesystem::path labels_path;

  std::string name;
  double weight = 1.0;
  std::vector<Label> labels;

  InputKind kind = InputKind::mel;
  int sample_rate_hz = 32000;
  double window_s = 5.0;
  double hop_s = 5.0;
  int channels = 1;         // planes of a mel input
  double min_signal = 0.5;  // see WindowGrid
  ResampleMethod resampler = ResampleMethod::soxr_hq;
  MelConfig mel;

  std::string clip_output;   // name; empty: the model's first output
  std::string frame_output;  // empty: none
  FrameAxis frame_axis = FrameAxis::class_first;
  std::string embedding_output;  // empty: none
  Activation activation = Activation::sigmoid;
  double logit_clip = 0;  // logits are limited to ± this before the activation; 0: not

  PostProcess post;
  std::optional<Probe> probe;

  WindowGrid grid() const;
  /// Shape of one input row: [channels, n_mels, frames] or [window_samples].
  Shape row_shape() const;
};

/// @param reference  a manifest (.toml), or a model file with its manifest beside it, which is then the model that is run
/// @throws Error{not_found}, Error{bad_manifest}: missing keys, unknown keys (with the closest known one), values out of range,
/// a model or labels file outside the manifest's folder (symbolic links resolved), no labels, a label twice
Manifest load_manifest(const std::filesystem::path& reference);

/// A front end by itself, of the keys of [input.mel] as TOML; whether it can be computed, validate() says.
/// @throws Error{bad_manifest} as load_manifest()
MelConfig mel_config_from_toml(const std::string& keys);

/// A model made from another one: fed the same, but with answers of its own.
struct DerivedModel {
  std::string name;
  std::string file;        // relative to its manifest
  std::string probe_file;  // its own answer to probe_input()
  double probe_tolerance = 1e-3;
};

/// TOML text of the manifest of `model`, which shares everything else with the one at `manifest`. Comments are lost.
/// @throws Error{not_found}, Error{bad_manifest}
std::string derived_manifest(const std::filesystem::path& manifest, const DerivedModel& model);
/// A manifest for another file of the same network.
struct ManifestCopy {
  std::string text;                               // with the new values, else to the byte
  std::vector<std::filesystem::path> companions;  // labels, probe, lists; relative to the manifest
};

/// @param model_file       what `file` becomes
/// @param probe_tolerance  what `tolerance` in [probe] becomes, if there is such a table; nullopt: as it is
/// @throws Error{not_found}, Error{bad_manifest}
ManifestCopy manifest_for(const std::filesystem::path& manifest, const std::string& model_file,
                          std::optional<double> probe_tolerance = std::nullopt);

/// Applies clip limit and activation in place to one row of logits. Softmax runs over the row.
void activate(const Manifest& manifest, std::span<float> row);

}  // namespace whimbrel
