// `whimbrel info`: this machine, or a model.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/console.h"
#include "cli/verbs.h"
#include "whimbrel/engines.h"
#include "whimbrel/models.h"

namespace whimbrel::cli {
namespace {

using Json = nlohmann::ordered_json;

int info_cpu(bool json) {
  const CpuInfo cpu = cpu_info();
  if (json) {
    Json object = {{"cpu",
                    {{"model", cpu.model},
                     {"isa", cpu.isa},
                     {"cores_online", cpu.cores_online},
                     {"cores_affinity", cpu.cores_affinity},
                     {"cores_quota", cpu.cores_quota},
                     {"cores_allowed", cpu.cores_allowed},
                     {"integer_path", cpu.integer_path},
                     {"precision_hint", cpu.precision_hint},
                     {"front_end_simd", front_end_simd_target()}}}};
    for (const auto kind : all_engines()) {
      const auto status = engine_status(kind);
      object["engines"].push_back(
          {{"name", to_string(kind)}, {"available", status.available}, {"version", status.version}, {"remedy", status.remedy}});
    }
    fmt::print("{}\n", object.dump(2));
    return 0;
  }
  fmt::print("cpu        {}\n", cpu.model);
  fmt::print("isa        {}\n", fmt::join(cpu.isa, " "));
  const std::string quota = cpu.cores_quota > 0 ? fmt::format("{:.2f} cores", cpu.cores_quota) : "none";
  fmt::print("cores      {} allowed ({} online, affinity {}, cgroup quota {})\n", cpu.cores_allowed, cpu.cores_online,
             cpu.cores_affinity, quota);
  fmt::print("integer    {}\n", cpu.integer_path);
  fmt::print("precision  {}\n", cpu.precision_hint);
  fmt::print("front end  {}\n", front_end_simd_target());
  for (const auto kind : all_engines()) {
    const auto status = engine_status(kind);
    fmt::print("engine     {} {}\n", to_string(kind), status.available ? status.version : "not available: " + status.remedy);
  }
  return 0;
}

Json tensors_json(const std::vector<TensorInfo>& tensors) {
  Json list = Json::array();
  for (const auto& t : tensors) list.push_back({{"name", t.name}, {"shape", t.shape}, {"type", t.element_type}});
  return list;
}

void print_tensors(const char* what, const std::vector<TensorInfo>& tensors) {
  for (const auto& t : tensors) fmt::print("{:<11}{} {} {}\n", what, printable(t.name), to_string(t.shape), t.element_type);
}

int info_model(const std::filesystem::path& reference, bool json) {
  const Manifest manifest = load_manifest(reference);
  const ModelInfo model = inspect_model(manifest.model_path, manifest.row_shape());
  if (json) {
    Json labels = Json::array();
    for (const auto& label : manifest.labels) labels.push_back(label.text);
    const Json object = {{"name", manifest.name},
                         {"file", manifest.model_path.string()},
                         {"manifest", manifest.path.string()},
                         {"format", model.format},
                         {"inputs", tensors_json(model.inputs)},
                         {"outputs", tensors_json(model.outputs)},
                         {"row_shape", manifest.row_shape()},
                         {"parameters", model.parameters},
                         {"macs", model.macs},
                         {"file_bytes", model.file_bytes},
                         {"sample_rate_hz", manifest.sample_rate_hz},
                         {"window_s", manifest.window_s},
                         {"hop_s", manifest.hop_s},
                         {"labels", labels}};
    fmt::print("{}\n", object.dump(2, ' ', false, Json::error_handler_t::replace));
    return 0;
  }
  fmt::print("model      {} ({}, {})\n", printable(manifest.name), model.format,
             size_text(static_cast<double>(model.file_bytes)));
  fmt::print("file       {}\n", printable(manifest.model_path.string()));
  print_tensors("input", model.inputs);
  print_tensors("output", model.outputs);
  fmt::print("fed        {} of {} s windows at {} Hz, every {} s\n", to_string(manifest.row_shape()), manifest.window_s,
             manifest.sample_rate_hz, manifest.hop_s);
  const std::string macs = model.macs == 0 ? "unknown" : fmt::format("{:.3f} G", static_cast<double>(model.macs) * 1e-9);
  fmt::print("size       {:.2f} M parameters, {} multiply-accumulates a window\n", static_cast<double>(model.parameters) * 1e-6,
             macs);
  fmt::print("labels     {}: {}", manifest.labels.size(), printable(manifest.labels[0].text));
  for (std::size_t i = 1; i < std::min<std::size_t>(3, manifest.labels.size()); ++i) {
    fmt::print(", {}", printable(manifest.labels[i].text));
  }
  fmt::print("{}\n", manifest.labels.size() > 3 ? ", ..." : "");
  return 0;
}

}  // namespace

Verb add_info(CLI::App& root) {
  struct Arguments {
    std::string model;
    bool json = false;
  };
  auto* app = root.add_subcommand("info", "What this CPU is good at; what a model is");
  auto arguments = std::make_shared<Arguments>();
  app->add_option("MODEL", arguments->model, "Manifest or model file; without it: this machine");
  app->add_flag("--json", arguments->json, "Print one JSON object");
  return {app, [arguments] {
            return arguments->model.empty() ? info_cpu(arguments->json) : info_model(arguments->model, arguments->json);
          }};
}

}  // namespace whimbrel::cli
