#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <system_error>
#include <utility>

#include "models/labels.h"
#include "models/manifest_values.h"
#include "models/toml_reader.h"
#include "whimbrel/io.h"
#include "whimbrel/models.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxManifestBytes = std::int64_t{1} << 20;

bool is_whole(double samples) { return std::abs(samples - std::round(samples)) <= 1e-6; }

fs::path manifest_path_of(const fs::path& reference) {
  std::error_code error;
  if (!fs::exists(reference, error)) {
    throw Error(ErrorCode::not_found,
                fmt::format("{}: not there, expected a manifest (.toml) or a model file", reference.string()));
  }
  if (fs::is_directory(reference, error)) {
    throw Error(ErrorCode::bad_manifest,
                fmt::format("{}: a folder, expected a manifest (.toml) or a model file", reference.string()));
  }
  if (reference.extension() == ".toml") return reference;
  auto manifest = reference;
  manifest.replace_extension(".toml");
  if (fs::exists(manifest, error)) return manifest;
  throw Error(ErrorCode::not_found,
              fmt::format("{}: no manifest beside this model, expected {}; write one (docs/manifest.md) or let "
                          "`whimbrel export` do it",
                          reference.string(), manifest.string()));
}

void read_normalize(TomlReader& mel, MelConfig& c) {
  c.normalize = mel.word<Normalize>(
      "normalize", {{"minmax", Normalize::minmax}, {"mean_std", Normalize::mean_std}, {"none", Normalize::none}}, c.normalize);
  for (const auto key : {"mean", "std"}) {
    if (c.normalize == Normalize::mean_std) mel.require(key, "a number, as normalize is \"mean_std\"");
    if (c.normalize != Normalize::mean_std && mel.has(key)) mel.refuse(key, "no such key unless normalize is \"mean_std\"");
  }
  c.mean = number(mel, "mean", c.mean, "a finite number", [](double) { return true; });
  c.std = number(mel, "std", c.std, "a number above 0", [](double x) { return x > 0; });
}

/// What a value must be beyond its type, the front end itself says.
MelConfig read_mel_config(TomlReader& mel) {
  constexpr int kLeast = std::numeric_limits<int>::min(), kMost = std::numeric_limits<int>::max();
  MelConfig c;
  c.n_fft = integer(mel, "n_fft", c.n_fft, kLeast, kMost);
  c.win_length = integer(mel, "win_length", c.n_fft, kLeast, kMost);
  c.hop_samples = integer(mel, "hop_samples", c.hop_samples, kLeast, kMost);
  c.n_mels = integer(mel, "n_mels", c.n_mels, kLeast, kMost);
  c.f_min_hz = mel.number("f_min_hz", c.f_min_hz);
  c.f_max_hz = mel.number("f_max_hz", c.f_max_hz);
  c.scale = mel.word<MelScale>("scale", {{"slaney", MelScale::slaney}, {"htk", MelScale::htk}}, c.scale);
  c.norm = mel.word<MelNorm>("norm", {{"slaney", MelNorm::slaney}, {"none", MelNorm::none}}, c.norm);
  c.power = mel.number("power", c.power);
  c.center = mel.boolean("center", c.center);
  c.pad = mel.word<PadMode>("pad", {{"reflect", PadMode::reflect}, {"constant", PadMode::constant}}, c.pad);
  c.level = mel.word<Level>("level", {{"db", Level::db}, {"log", Level::log}, {"none", Level::none}}, c.level);
  c.ref = mel.word<LevelRef>("ref", {{"one", LevelRef::one}, {"max", LevelRef::max}}, c.ref);
  c.amin = mel.number("amin", c.amin);
  if (const double top_db = mel.number("top_db", 0); mel.has("top_db")) c.top_db = top_db;
  read_normalize(mel, c);
  mel.finish();
  return c;
}

void read_mel(TomlReader& mel, Manifest& m) {
  m.mel = read_mel_config(mel);
  try {
    // Made and thrown away, for about a millisecond: it refuses all that it could not compute.
    const auto grid = m.grid();
    const MelFrontEnd front_end(m.mel, m.sample_rate_hz, grid.window_samples, grid.hop_samples);
  } catch (const Error& error) {
    throw Error(ErrorCode::bad_manifest, fmt::format("{}: {}", mel.where(), error.what()));
  }
}

constexpr double kMostWindowSamples = 0x1p28;  // 1 GB, an hour and a half at 48 kHz

void read_times(TomlReader& input, Manifest& m) {
  input.require("sample_rate_hz", "a whole number, 1..1000000");
  m.sample_rate_hz = integer(input, "sample_rate_hz", 0, 1, 1'000'000);
  input.require("window_s", "a number of seconds in (0, 3600]");
  m.window_s = number(input, "window_s", 0, "a number of seconds in (0, 3600]", [](double s) { return s > 0 && s <= 3600; });
  m.hop_s = number(input, "hop_s", m.window_s, fmt::format("a number of seconds in (0, {}], the window", m.window_s),
                   [&](double s) { return s > 0 && s <= m.window_s; });
  // Positions are integers: a window and a hop of whole samples never drift.
  for (const auto& [key, seconds] : {std::pair("window_s", m.window_s), std::pair("hop_s", m.hop_s)}) {
    const double samples = seconds * m.sample_rate_hz;
    if (samples > kMostWindowSamples)
      input.refuse(key, fmt::format("at most {:.0f} samples, found {}", kMostWindowSamples, samples));
    if (is_whole(samples) && samples > 0.5) continue;
    input.refuse(key, fmt::format("a whole number of samples at {} Hz, found {}", m.sample_rate_hz, samples));
  }
  m.min_signal =
      number(input, "min_signal", m.min_signal, "a share of the window, 0..1", [](double x) { return x >= 0 && x <= 1; });
  m.resampler = input.word<ResampleMethod>(
      "resampler", {{"soxr_hq", ResampleMethod::soxr_hq}, {"kaiser_fast", ResampleMethod::kaiser_fast}}, m.resampler);
}

void read_input(TomlReader& root, Manifest& m) {
  root.require("input", "a table with kind, sample_rate_hz and window_s");
  TomlReader input = root.table("input");
  input.require("kind", "\"mel\" or \"waveform\"");
  m.kind = input.word<InputKind>("kind", {{"mel", InputKind::mel}, {"waveform", InputKind::waveform}}, InputKind::mel);
  read_times(input, m);
  m.channels = integer(input, "channels", m.channels, 1, 16);
  TomlReader mel = input.table("mel");
  if (m.kind == InputKind::waveform) {
    if (m.channels != 1) input.refuse("channels", "1: a waveform has no planes to repeat");
    if (mel.exists()) input.refuse("mel", "no such table, as kind is \"waveform\"");
  } else {
    input.require("mel", "a table [input.mel] with the front end, as kind is \"mel\"");
  }
  input.finish();
  if (mel.exists()) read_mel(mel, m);
}

void read_output(TomlReader& root, Manifest& m) {
  TomlReader output = root.table("output");
  m.clip_output = output.text("clip", "");
  m.frame_output = output.text("frame", "");
  m.frame_axis = output.word<FrameAxis>(
      "frame_axis", {{"class_first", FrameAxis::class_first}, {"class_last", FrameAxis::class_last}}, m.frame_axis);
  m.embedding_output = output.text("embedding", "");
  m.activation = output.word<Activation>(
      "activation", {{"sigmoid", Activation::sigmoid}, {"softmax", Activation::softmax}, {"none", Activation::none}},
      m.activation);
  m.logit_clip =
      number(output, "logit_clip", m.logit_clip, "a number of 0 (no limit) or more", [](double x) { return x >= 0; });
  output.finish();
}

void read_probe(TomlReader& probe, Manifest& m) {
  if (!probe.exists()) return;
  probe.require("output", "the name of a .npy file");
  const auto named = probe.text("output", "");
  Probe read;
  read.tolerance = number(probe, "tolerance", read.tolerance, "a number above 0", [](double x) { return x > 0; });
  probe.finish();
  const auto path = file_at(probe, "output", m.path, named);
  auto array = read_npy(path);
  const Shape expected = {static_cast<std::int64_t>(m.labels.size())};
  if (array.shape != expected) {
    throw Error(ErrorCode::bad_manifest,
                fmt::format("{}: probe of shape {}, expected {}, one value a label; export the model again", path.string(),
                            to_string(array.shape), to_string(expected)));
  }
  if (!std::all_of(array.values.begin(), array.values.end(), [](float x) { return std::isfinite(x); })) {
    throw Error(ErrorCode::bad_manifest,
                fmt::format("{}: values that are not finite, expected the network's own answer; export the "
                            "model again",
                            path.string()));
  }
  read.output = std::move(array.values);
  m.probe = std::move(read);
}

Manifest read_manifest(const fs::path& reference) {
  Manifest m;
  m.path = manifest_path_of(reference);
  TomlReader root = TomlReader::open(m.path, kMaxManifestBytes);

  root.require("model", "a table with file and labels");
  TomlReader model = root.table("model");
  model.require("file", "the name of the model file");
  auto file = model.text("file", "");
  model.require("labels", "the name of a file with one class a line");
  const auto labels = model.text("labels", "");
  m.name = model.text("name", m.path.stem().string());
  m.weight = number(model, "weight", m.weight, "a number above 0", [](double x) { return x > 0; });
  model.finish();

  read_input(root, m);
  read_output(root, m);
  TomlReader post = root.table("postprocess");
  read_post_process(post, m);
  TomlReader probe = root.table("probe");
  root.finish();

  // Files last: a mistake in the manifest is told before a missing file. A model that was named itself is the one that is run,
  // so that net.onnx and net.xml can share net.toml.
  if (m.path != reference) file = reference.filename().string();
  m.model_path = file_at(model, "file", m.path, file);
  m.labels_path = file_at(model, "labels", m.path, labels);
  m.labels = read_labels(m.labels_path);
  find_post_process_files(post, m);
  read_probe(probe, m);
  return m;
}

}  // namespace

MelConfig mel_config_from_toml(const std::string& keys) {
  TomlReader mel = TomlReader::parse(keys, "mel");
  return read_mel_config(mel);
}

WindowGrid Manifest::grid() const {
  return {.sample_rate_hz = sample_rate_hz,
          .window_samples = std::llround(window_s * sample_rate_hz),
          .hop_samples = std::llround(hop_s * sample_rate_hz),
          .min_signal = min_signal,
          .resampler = resampler};
}

Shape Manifest::row_shape() const {
  const auto window = grid().window_samples;
  if (kind == InputKind::waveform) return {window};
  return {channels, mel.n_mels, mel_frame_count(mel, window)};
}

Manifest load_manifest(const fs::path& reference) {
  try {
    return read_manifest(reference);
  } catch (const Error& error) {
    // A file that is too large or no .npy: to the caller of this function the manifest is what cannot be used.
    if (error.code() != ErrorCode::invalid_argument) throw;
    throw Error(ErrorCode::bad_manifest, error.what());
  }
}

}  // namespace whimbrel
