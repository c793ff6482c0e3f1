#include "pipeline/forms.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "whimbrel/io.h"
#include "whimbrel/models.h"
#include "whimbrel/pipeline.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

/// True if the file's bytes hold `text`. A file that cannot be read holds nothing.
bool holds(const fs::path& path, std::string_view text) {
  std::ifstream file(path, std::ios::binary);
  std::string block(std::size_t{1} << 20, '\0');
  std::size_t kept = 0;  // of the block before, for what lies across two
  while (file) {
    file.read(block.data() + kept, static_cast<std::streamsize>(block.size() - kept));
    const auto filled = kept + static_cast<std::size_t>(file.gcount());
    if (std::string_view(block.data(), filled).find(text) != std::string_view::npos) return true;
    kept = std::min(filled, text.size() - 1);
    std::copy_n(block.begin() + static_cast<std::ptrdiff_t>(filled - kept), kept, block.begin());
  }
  return false;
}

std::string precision_of(const fs::path& model, bool certified) {
  const auto ending = model.extension();
  if (certified || (ending == ".onnx" && holds(model, "QuantizeLinear"))) return "int8";
  if (ending != ".xml") return "fp32";
  if (holds(model, "type=\"FakeQuantize\"")) return "int8";
  return holds(model, "element_type=\"f16\"") ? "fp16 weights" : "fp32";
}

ModelForm form_of(const fs::path& reference, const fs::path& model, const std::string& name) {
  ModelForm form{reference, model, name, "", engines_that_read(model), std::nullopt};
  if (!form.engines.empty()) form.verdict = verdict_of(form.engines[0], model);
  form.precision = precision_of(model, form.verdict.has_value());
  return form;
}

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

/// Manifests in the folder of `model` that can be read, in byte order of their names.
std::vector<Manifest> manifests_beside(const fs::path& model) {
  std::vector<fs::path> paths;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder_of(model), ignored)) {
    if (entry.path().extension() == ".toml") paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  std::vector<Manifest> manifests;
  for (const auto& path : paths) {
    try {
      manifests.push_back(load_manifest(path));
    } catch (const Error& error) {
      log(LogLevel::debug, error.what());  // other things are called .toml too
    }
  }
  return manifests;
}

bool same_file(const fs::path& a, const fs::path& b) {
  std::error_code ignored;
  return fs::equivalent(a, b, ignored);
}

/// The manifest's own file, and files that share the manifest by their stem.
std::vector<ModelForm> forms_sharing(const Manifest& manifest) {
  std::vector<ModelForm> forms = {form_of(manifest.path, manifest.model_path, manifest.name)};
  for (const char* ending : {".onnx", ".xml", ".pt", ".tflite"}) {
    const auto file = fs::path(manifest.path).replace_extension(ending);
    std::error_code ignored;
    if (!fs::is_regular_file(file, ignored) || same_file(file, manifest.model_path)) continue;
    forms.push_back(form_of(file, file, manifest.name));
  }
  return forms;
}

/// The manifest at `path`'s own model, whichever file beside it was named.
Manifest own_manifest(const fs::path& reference) {
  const auto named = load_manifest(reference);
  return same_file(named.path, reference) ? named : load_manifest(named.path);
}

}  // namespace

std::optional<Verdict> verdict_of(EngineKind reader, const fs::path& model) {
  if (!holds(model, kCertificateKey)) return std::nullopt;
  return parse_verdict(model_remark(reader, model, kCertificateKey));
}

std::vector<EngineKind> engines_that_read(const fs::path& model) {
  std::vector<EngineKind> engines;
  for (const auto kind : all_engines()) {
    if (engine_reads(kind, model) && engine_status(kind).available) engines.push_back(kind);
  }
  return engines;
}

std::optional<fs::path> source_beside(const fs::path& model, const Verdict& verdict) {
  const auto source = model.parent_path() / fs::path(verdict.source).filename();
  std::error_code ignored;
  if (verdict.source.empty() || !fs::is_regular_file(source, ignored)) return std::nullopt;
  return file_hash(source) == verdict.source_hash ? std::optional(source) : std::nullopt;
}

std::vector<ModelForm> find_forms(const fs::path& reference) {
  auto manifest = own_manifest(reference);
  auto forms = forms_sharing(manifest);
  const auto beside = manifests_beside(manifest.model_path);
  if (const auto& verdict = forms[0].verdict) {
    const auto source = source_beside(manifest.model_path, *verdict);
    const auto owner = std::ranges::find_if(beside, [&](const auto& m) { return source && same_file(m.model_path, *source); });
    if (owner == beside.end()) return forms;
    manifest = *owner;
    forms = forms_sharing(manifest);
  }
  std::string hash;  // of the float model; only worked out where something claims to come from it
  for (const auto& other : beside) {
    if (same_file(other.path, manifest.path)) continue;
    const auto engines = engines_that_read(other.model_path);
    const auto verdict = engines.empty() ? std::nullopt : verdict_of(engines[0], other.model_path);
    if (!verdict || fs::path(verdict->source).filename() != manifest.model_path.filename()) continue;
    if (hash.empty()) hash = file_hash(manifest.model_path);
    if (verdict->source_hash != hash) continue;
    std::ranges::move(forms_sharing(other), std::back_inserter(forms));
  }
  return forms;
}

}  // namespace whimbrel
