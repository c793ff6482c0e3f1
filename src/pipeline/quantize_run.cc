// From recordings and a manifest to what the quantizer works on, and back to files.
#include <fmt/format.h>

#include <algorithm>

#include "pipeline/inputs.h"
#include "pipeline/row_store.h"
#include "pipeline/truth.h"
#include "whimbrel/io.h"
#include "whimbrel/pipeline.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

constexpr double kDropOfScore = 0.005;
constexpr double kDropOfAgreement = 0.02;
constexpr std::size_t kMostCertified = 2000;

struct Windows {
  std::vector<StoredRow> calibration;
  std::vector<StoredRow> certification;
};

/// What certifies must not have calibrated: recordings alternate, and a single one is halved.
Windows split(const std::vector<StoredRow>& rows) {
  Windows windows;
  const bool single = std::ranges::all_of(rows, [&](const auto& row) { return row.recording == rows[0].recording; });
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const bool certifies = single ? i >= rows.size() / 2 : rows[i].recording % 2 == 1;
    (certifies ? windows.certification : windows.calibration).push_back(rows[i]);
  }
  return windows;
}

Windows read_windows(const QuantizeRunOptions& options, RowStore& store) {
  const auto samples = static_cast<std::size_t>(options.samples);
  const auto calibrate = find_recordings(options.calibrate);
  Windows windows;
  if (options.certify.empty()) {
    windows = split(store.add(calibrate, 2 * std::max(samples, kMostCertified)));
  } else {
    windows.calibration = store.add(calibrate, samples);
    windows.certification = store.add(find_recordings(options.certify), kMostCertified);
  }
  windows.calibration = thinned(windows.calibration, samples);
  windows.certification = thinned(windows.certification, options.truth.empty() ? samples : kMostCertified);
  return windows;
}

/// [rows, classes], in the order of `classes`.
std::vector<std::uint8_t> read_truth(const QuantizeRunOptions& options, const std::vector<StoredRow>& rows,
                                     const std::vector<std::string>& classes, double window_s) {
  std::vector<std::string> row_ids;
  for (const auto& row : rows) row_ids.push_back(row.row_id);
  return truth_of({.truth = options.truth,
                   .row_ids = row_ids,
                   .classes = classes,
                   .window_s = window_s,
                   .asker = "the model",
                   .remedy = "name recordings with truth as --certify",
                   .complete = false});
}

fs::path manifest_of(const fs::path& output) { return fs::path(output).replace_extension(".toml"); }

void check_output(const QuantizeRunOptions& options, const Manifest& manifest) {
  const auto& output = options.output;
  if (output.extension() != ".onnx" && output.extension() != ".xml") {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: expected an output that ends in .onnx or, for OpenVINO, .xml", output.string()));
  }
  if (output.extension() == ".xml" && options.target == "onnxruntime") {
    throw Error(ErrorCode::invalid_argument,
                output.string() + ": ONNX Runtime does not read .xml; name an .onnx, or --target openvino");
  }
  if (manifest.model_path.extension() != ".onnx") {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: expected an .onnx model to quantize; export one, or quantize the .onnx that it was made from",
                            manifest.model_path.string()));
  }
  std::error_code ignored;
  if (fs::equivalent(output, manifest.model_path, ignored) || fs::equivalent(manifest_of(output), manifest.path, ignored)) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} would replace the float model or its manifest {}; choose another name, such as {}-int8{}",
                            output.string(), manifest.path.string(), output.stem().string(), output.extension().string()));
  }
  if (manifest.labels.empty()) throw Error(ErrorCode::bad_manifest, manifest.path.string() + ": no labels");
}

std::vector<EngineKind> targets_of(const QuantizeRunOptions& options) {
  if (options.target == "onnxruntime") return {EngineKind::onnxruntime};
  if (options.target == "openvino") return {EngineKind::openvino};
  if (options.target != "auto") {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("target \"{}\", expected auto, onnxruntime or openvino", options.target));
  }
  if (options.output.extension() == ".xml") return {EngineKind::openvino};
  std::vector<EngineKind> targets;
  for (const auto kind : {EngineKind::onnxruntime, EngineKind::openvino}) {
    if (engine_status(kind).available) targets.push_back(kind);
  }
  return targets;
}

std::vector<std::string> outputs_of(const Manifest& manifest) {
  std::vector<std::string> outputs;
  if (manifest.clip_output.empty()) return outputs;
  for (const auto& name : {manifest.clip_output, manifest.frame_output, manifest.embedding_output}) {
    if (!name.empty()) outputs.push_back(name);
  }
  return outputs;
}

void write_whole(const fs::path& path, std::string_view bytes, std::vector<fs::path>& files) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
  files.push_back(path);
}

/// What the manifest names and must be copied as the output lies in another folder.
/// @throws Error{invalid_argument} where another file has its name there
std::vector<fs::path> to_carry(const Manifest& manifest, const fs::path& folder) {
  std::vector<fs::path> carried;
  for (const auto& source : {manifest.labels_path, manifest.post.species_list, manifest.post.thresholds}) {
    const auto target = folder / source.filename();
    std::error_code ignored;
    if (source.empty() || fs::equivalent(source, target, ignored)) continue;
    if (!fs::exists(target, ignored)) {
      carried.push_back(source);
    } else if (read_file(target) != read_file(source)) {
      const auto what = source == manifest.labels_path ? "labels than those" : "content than that";
      throw Error(ErrorCode::invalid_argument, fmt::format("{} is there with other {} of {}; choose another folder",
                                                           target.string(), what, manifest.path.string()));
    }
  }
  return carried;
}

/// The manifest and the probe of what was written.
void write_manifest(const QuantizeRunOptions& options, const Manifest& manifest, const Certificate& certificate,
                    std::vector<fs::path>& files) {
  const auto folder = options.output.parent_path();
  const auto stem = options.output.stem().string();
  const DerivedModel derived{stem, options.output.filename().string(), stem + ".probe.npy", certificate.probe_tolerance};
  for (const auto& source : to_carry(manifest, folder)) write_whole(folder / source.filename(), read_file(source), files);
  AtomicFile probe(folder / derived.probe_file);
  probe.write(npy_header({static_cast<std::int64_t>(certificate.probe_output.size())}));
  probe.write(std::span<const float>(certificate.probe_output));
  probe.commit();
  files.push_back(folder / derived.probe_file);
  write_whole(manifest_of(options.output), derived_manifest(manifest.path, derived), files);
}

/// The output's folder; one that was made for nothing goes again.
class NewFolder {
 public:
  explicit NewFolder(const fs::path& path) : path_(path) {
    std::error_code failed;
    made_ = fs::create_directories(path, failed);
    if (!failed) return;
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: {}; choose another output", path.string(), failed.message()));
  }
  ~NewFolder() {
    std::error_code ignored;
    if (made_ && fs::is_empty(path_, ignored)) fs::remove(path_, ignored);
  }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

 private:
  fs::path path_;
  bool made_ = false;
};

/// The quantized ONNX model as OpenVINO IR, which replaces it.
std::vector<fs::path> as_ir(const QuantizeOptions& quantize, const fs::path& xml, const Certificate& certificate) {
  struct Remove {
    const fs::path& path;
    ~Remove() {
      std::error_code ignored;
      fs::remove(path, ignored);
      fs::remove(path.string() + ".data", ignored);
    }
  } remove{quantize.output};
  const auto written = convert_model(quantize.output, xml,
                                     {.replace = true,
                                      .row_shape = quantize.row_shape,
                                      .outputs = quantize.outputs,
                                      .probe = certificate.probe_output,
                                      .probe_tolerance = certificate.probe_tolerance});
  return {written.xml, written.bin};
}

}  // namespace

QuantizeRunResult quantize_recordings(const QuantizeRunOptions& options) {
  const auto ensemble = load_ensemble({options.model}, 0);
  const auto& manifest = ensemble.members[0].manifest;
  check_output(options, manifest);
  auto folder = options.output.parent_path();
  if (folder.empty()) folder = ".";
  const NewFolder made(folder);
  to_carry(manifest, folder);  // else found out when all is done

  RowStore store(ensemble, folder);
  auto windows = read_windows(options, store);
  QuantizeOptions quantize{.model = manifest.model_path, .output = options.output, .targets = targets_of(options)};
  quantize.isa = options.isa;
  quantize.observer = options.observer;
  quantize.keep = options.keep;
  quantize.threshold = options.threshold;
  quantize.workers = options.threads > 0 ? options.threads : cpu_info().cores_allowed;
  quantize.row_shape = manifest.row_shape();
  quantize.outputs = outputs_of(manifest);
  quantize.activate = [&](std::span<float> row) { activate(manifest, row); };
  quantize.on_step = options.on_step;
  quantize.cancel = options.cancel;
  for (const auto& label : ensemble.labels) quantize.classes.push_back(label.text);
  if (!options.truth.empty()) quantize.truth = read_truth(options, windows.certification, quantize.classes, manifest.window_s);
  quantize.max_drop = options.max_drop.value_or(options.truth.empty() ? kDropOfAgreement : kDropOfScore);
  quantize.calibration = store.rows(std::move(windows.calibration));
  quantize.certification = store.rows(std::move(windows.certification));

  QuantizeRunResult result;
  if (options.output.extension() == ".xml") {
    quantize.output = fs::path(options.output).replace_extension(".whimbrel.onnx");  // what the IR is made from
    result.certificate = quantize_model(quantize);
    result.files = as_ir(quantize, options.output, result.certificate);
  } else {
    result.certificate = quantize_model(quantize);
    result.files.push_back(options.output);
  }
  write_manifest(options, manifest, result.certificate, result.files);
  return result;
}

}  // namespace whimbrel
