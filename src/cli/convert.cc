// `whimbrel convert`: a model as OpenVINO IR, with its manifest.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/console.h"
#include "cli/verbs.h"
#include "whimbrel/engines.h"
#include "whimbrel/io.h"
#include "whimbrel/models.h"

namespace whimbrel::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Arguments {
  std::string model;
  std::string output;
  std::int64_t batch = 0;
  bool fp16 = false;
  bool force = false;
  bool json = false;
};

/// Of a manifest, or of a model file that has one beside it.
std::optional<Manifest> manifest_of(const fs::path& reference) {
  std::error_code ignored;
  const bool beside = fs::is_regular_file(fs::path(reference).replace_extension(".toml"), ignored);
  if (reference.extension() != ".toml" && !(beside && fs::is_regular_file(reference, ignored))) return std::nullopt;
  return load_manifest(reference);
}

void fill_in(ConvertOptions& options, const Manifest& manifest) {
  options.row_shape = manifest.row_shape();
  if (!manifest.clip_output.empty()) {
    for (const auto& name : {manifest.clip_output, manifest.frame_output, manifest.embedding_output}) {
      if (!name.empty()) options.outputs.push_back(name);
    }
  }
  if (manifest.probe) {
    options.probe = manifest.probe->output;
    options.probe_tolerance = manifest.probe->tolerance;
  }
}

struct Copy {
  fs::path path;
  std::string bytes;
};

/// FP16 weights move the probe's answer by more than float32 sums do; at each start it is then asked for as closely as here.
constexpr double kTolerance_fp16 = 2e-2;

double largest_of(const std::vector<float>& values) {
  double largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(static_cast<double>(value)));
  return largest;
}

bool is_shared(const Manifest& manifest, const fs::path& xml) {
  std::error_code ignored;
  return fs::equivalent(manifest.path, fs::path(xml).replace_extension(".toml"), ignored);
}

/// Files that must stand beside the output so that it has its manifest; none where it serves from where it is.
/// @throws Error{invalid_argument} for one that is there with other contents, unless `force`
std::vector<Copy> files_to_carry(const Manifest& manifest, const fs::path& xml, std::optional<double> tolerance, bool force) {
  const fs::path target = fs::path(xml).replace_extension(".toml");
  const fs::path from = manifest.path.parent_path(), to = target.parent_path();
  std::error_code ignored;
  if (is_shared(manifest, xml)) return {};
  auto copy = manifest_for(manifest.path, xml.filename().string(), tolerance);
  std::vector<Copy> files;
  for (const auto& name : copy.companions) {
    const auto copied = path_inside(to, name.string());
    if (!copied) {
      throw Error(
          ErrorCode::bad_manifest,
          fmt::format("convert: {} names {}, which beside the output would be outside its folder, expected a plain file "
                      "name; correct the manifest",
                      manifest.path.string(), name.string()));
    }
    if (fs::equivalent(from / name, *copied, ignored)) continue;
    files.push_back({*copied, read_file(from / name)});
  }
  files.push_back({target, std::move(copy.text)});  // last: until it is there nobody looks for the others
  std::erase_if(files, [](const Copy& file) { return fs::is_regular_file(file.path) && read_file(file.path) == file.bytes; });
  for (const auto& file : files) {
    if (force || !fs::exists(file.path, ignored)) continue;
    throw Error(ErrorCode::invalid_argument,
                fmt::format("convert: {} is there with other contents, expected a new name or the same; choose another folder "
                            "or name, or --force to replace it",
                            file.path.string()));
  }
  return files;
}

void print(const Arguments& arguments, const fs::path& model, const ConvertResult& result, const std::vector<Copy>& carried) {
  if (arguments.json) {
    Json object = {{"model", model.string()},
                   {"xml", result.xml.string()},
                   {"bin", result.bin.string()},
                   {"file_bytes", result.file_bytes},
                   {"weights", arguments.fp16 ? "fp16" : "fp32"},
                   {"quantized", result.quantized},
                   {"batch", result.batch == 0 ? Json(nullptr) : Json(result.batch)},
                   {"compared_with", to_string(result.compared_with)},
                   {"outputs_compared", result.outputs},
                   {"largest_difference", result.largest_difference},
                   {"largest_value", result.largest_value}};
    object["carried"] = Json::array();
    for (const auto& file : carried) object["carried"].push_back(file.path.string());
    fmt::print("{}\n", object.dump(2, ' ', false, Json::error_handler_t::replace));
    return;
  }
  fmt::print("wrote {} + {} ({}, {}{}, batch {}); largest difference to {} by {} {:.1e} over {} output{}\n",
             printable(result.xml.string()), printable(result.bin.filename().string()),
             size_text(static_cast<double>(result.file_bytes)), arguments.fp16 ? "FP16" : "FP32",
             result.quantized ? " and INT8" : "", result.batch == 0 ? "free" : fmt::to_string(result.batch),
             printable(model.filename().string()), to_string(result.compared_with), result.largest_difference, result.outputs,
             result.outputs == 1 ? "" : "s");
  for (const auto& file : carried) fmt::print("wrote {}\n", printable(file.path.string()));
}

int run(const Arguments& arguments) {
  const fs::path xml = arguments.output;
  const auto manifest = manifest_of(arguments.model);
  ConvertOptions options{.batch = arguments.batch, .fp16 = arguments.fp16, .replace = arguments.force};
  std::vector<Copy> carried;
  if (manifest) {
    fill_in(options, *manifest);
    const bool wider = arguments.fp16 && manifest->probe && !is_shared(*manifest, xml);
    if (wider) options.probe_tolerance = std::max(options.probe_tolerance, kTolerance_fp16 * largest_of(options.probe));
    const auto tolerance = wider ? std::optional(options.probe_tolerance) : std::nullopt;
    if (xml.extension() == ".xml") carried = files_to_carry(*manifest, xml, tolerance, arguments.force);
  }
  const fs::path model = manifest ? manifest->model_path : fs::path(arguments.model);
  const auto result = convert_model(model, xml, options);
  for (const auto& file : carried) {
    AtomicFile out(file.path);
    out.write(file.bytes);
    out.commit();
  }
  print(arguments, model, result, carried);
  return 0;
}

}  // namespace

Verb add_convert(CLI::App& root) {
  auto* app = root.add_subcommand("convert", "Write a model as OpenVINO IR and compare it with the original");
  auto arguments = std::make_shared<Arguments>();
  app->add_option("MODEL", arguments->model, "Manifest (.toml), .onnx or .tflite")->required();
  app->add_option("-o,--output", arguments->output, "The .xml to write; its .bin comes beside it")->required();
  app->add_option("--batch", arguments->batch, "Fix the batch; default: free")->check(CLI::Range(1, 1024));
  app->add_flag("--fp16", arguments->fp16, "Weights in 16 bits: half the file");
  app->add_flag("--force", arguments->force, "Replace files that are there already");
  app->add_flag("--json", arguments->json, "Print one JSON object");
  return {app, [arguments] { return run(*arguments); }};
}

}  // namespace whimbrel::cli
