// Which rows there are, their processes in turn, and what comes out.
#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <set>

#include "plan/bench_summary.h"
#include "plan/candidate.h"
#include "whimbrel/io.h"
#include "whimbrel/plan.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using plan::Candidate;
using plan::Peaks;

constexpr int kRounds = 9;  // the interval is then from the second to the second last of them
constexpr std::int64_t kNoiseWindows = 8;
constexpr std::size_t kRecordedWindows = 64;
constexpr double kThreshold = 0.5;  // of a detection, for agreement

void step(const BenchOptions& options, const std::string& line) {
  if (options.cancel != nullptr && *options.cancel) throw Error(ErrorCode::cancelled, "bench: stopped as asked");
  if (options.on_step) options.on_step(line);
}

/// A folder for windows and outputs, gone afterwards.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    auto name = (fs::temp_directory_path() / "whimbrel-bench-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      throw Error(ErrorCode::io, fmt::format("{}: cannot create this folder; set TMPDIR to one that can be written", name));
    }
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::vector<int> workers_of(const BenchOptions& options, int cores) {
  std::set<int> workers(options.workers.begin(), options.workers.end());
  if (workers.empty()) {
    workers.insert(cores);
    for (int w = 1; options.full && w < cores; w *= 2) workers.insert(w);
  }
  return {workers.begin(), workers.end()};
}

std::vector<int> batches_of(const BenchOptions& options) {
  const std::set<int> named(options.batches.begin(), options.batches.end());
  if (!named.empty()) return {named.begin(), named.end()};
  return options.full ? std::vector{1, 2, 4, 8, 16} : std::vector{1, 4};
}

bool is_wanted(const BenchOptions& options, EngineKind engine) {
  return options.engines.empty() || std::ranges::find(options.engines, engine) != options.engines.end();
}

/// @throws Error{unsupported} where there is nothing to measure
[[noreturn]] void refuse(const BenchOptions& options, const std::vector<ModelForm>& forms) {
  std::string remedies;
  for (const auto kind : all_engines()) {
    const auto reads = [&](const ModelForm& form) { return engine_reads(kind, form.model_path); };
    if (!is_wanted(options, kind) || std::ranges::none_of(forms, reads)) continue;
    const auto status = engine_status(kind);
    if (!status.available) remedies += fmt::format("; {}: {}", to_string(kind), status.remedy);
  }
  throw Error(ErrorCode::unsupported,
              fmt::format("bench: {}: none of the engines {} reads this model{}", forms[0].model_path.string(),
                          options.engines.empty() ? "here" : "named", remedies));
}

/// Half of the memory that is free now, for processes that are alive at the same time.
std::int64_t memory_allowed() {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("MemAvailable:")) return 1024 * std::stoll(line.substr(13)) / 2;
  }
  return std::int64_t{1} << 30;
}

/// One model's measurement.
class ModelBench {
 public:
  ModelBench(const BenchOptions& options, const fs::path& reference, const fs::path& folder, int cores, Peaks& peaks)
      : options_(options),
        reference_(reference),
        folder_(folder),
        manifest_(load_manifest(reference)),
        forms_(find_forms(reference)),
        workers_(workers_of(options, cores)),
        peaks_(peaks) {
    for (std::size_t f = 0; f < forms_.size(); ++f) {
      for (const auto engine : forms_[f].engines) {
        if (!is_wanted(options, engine)) continue;
        for (const int batch : batches_of(options)) add(f, engine, batch);
      }
    }
    if (candidates_.empty()) refuse(options, forms_);
  }

  BenchModel run() {
    write_inputs();
    memory_ = memory_allowed();
    open_all();
    if (options_.batches.empty() && !options_.full) add_neighbours();
    measure_all();
    return result();
  }

 private:
  Candidate& add(std::size_t form, EngineKind engine, int batch) {
    candidates_.push_back(std::make_unique<Candidate>(form, forms_[form], engine, batch, workers_));
    return *candidates_.back();
  }

  /// Windows that all rows are run on, for their outputs.
  void write_inputs() {
    inputs_ = folder_ / "inputs.f32";
    if (!options_.recordings.empty()) {
      step(options_, fmt::format("{}: reading windows", manifest_.name));
      compared_ = write_windows(reference_, options_.recordings, kRecordedWindows, inputs_);
      return;
    }
    compared_ = kNoiseWindows;
    AtomicFile file(inputs_);
    file.write(std::span<const float>(probe_input(compared_ * element_count(manifest_.row_shape()))));
    file.commit();
  }

  /// Opens a row for the first time. What would take too much memory beside the others waits for a later group.
  void open(Candidate& candidate) {
    step(options_,
         fmt::format("{}: {} batch {}: opening", label_of(candidate), to_string(candidate.engine()), candidate.batch()));
    candidate.open(options_);
    candidate.run_on(inputs_, compared_, folder_ / "outputs.f32");
    if (!candidate.is_good()) {
      step(options_, fmt::format("{}: {} batch {}: {}", label_of(candidate), to_string(candidate.engine()), candidate.batch(),
                                 candidate.error()));
    } else if (in_use_ + candidate.memory_bytes() > memory_) {
      candidate.close();
    } else {
      in_use_ += candidate.memory_bytes();
    }
  }

  void open_all() {
    for (const auto& candidate : candidates_) open(*candidate);
  }

  /// For each form the batch beside the better one of the two that were tried.
  void add_neighbours() {
    for (std::size_t f = 0; f < forms_.size(); ++f) {
      const Candidate* best = nullptr;
      for (const auto& c : candidates_) {
        if (c->form() != f || !c->is_good()) continue;
        if (best == nullptr || c->pilot_per_s() > best->pilot_per_s()) best = c.get();
      }
      if (best != nullptr) open(add(f, best->engine(), best->batch() == 1 ? 2 : 8));
    }
  }

  /// Rounds over as many rows as memory holds at a time.
  void measure_all() {
    std::vector<Candidate*> waiting;
    for (const auto& c : candidates_) {
      if (c->is_good()) waiting.push_back(c.get());
    }
    std::ranges::stable_partition(waiting, [](const Candidate* c) { return c->is_open(); });
    while (!waiting.empty()) {
      std::vector<Candidate*> group;
      std::int64_t bytes = 0;
      std::erase_if(waiting, [&](Candidate* c) {
        if (!group.empty() && bytes + c->memory_bytes() > memory_) return false;
        bytes += c->memory_bytes();
        group.push_back(c);
        return true;
      });
      measure(group);
    }
  }

  void measure(const std::vector<Candidate*>& group) {
    for (auto* c : group) {
      if (!c->is_open()) c->open(options_);
    }
    for (int round = 0; round < kRounds; ++round) {
      step(options_, fmt::format("{}: round {} of {}, {} row{}", manifest_.name, round + 1, kRounds,
                                 group.size() * workers_.size(), group.size() * workers_.size() == 1 ? "" : "s"));
      peaks_.measure();
      for (auto* c : group) {
        if (options_.cancel != nullptr && *options_.cancel) throw Error(ErrorCode::cancelled, "bench: stopped as asked");
        c->measure_round(options_.seconds / kRounds);
      }
    }
    for (auto* c : group) c->close();
  }

  std::string label_of(const Candidate& candidate) const { return forms_[candidate.form()].model_path.filename().string(); }

  const Candidate* reference_candidate() const {
    const Candidate* any = nullptr;
    for (const auto& c : candidates_) {
      if (!c->is_good() || c->outputs().empty()) continue;
      if (forms_[c->form()].precision == "fp32") return c.get();
      if (any == nullptr) any = c.get();
    }
    return any;
  }

  void compare(const Candidate& candidate, const Candidate& reference, BenchRow& row) const {
    const auto &a = reference.outputs(), &b = candidate.outputs();
    for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
      row.max_difference = std::max(row.max_difference, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    }
    row.sqnr_db = sqnr_db(a, b);
    if (options_.recordings.empty()) return;
    const auto probabilities = [&](std::vector<float> values) {
      const auto classes = values.size() / static_cast<std::size_t>(compared_);
      for (std::size_t at = 0; at < values.size(); at += classes) activate(manifest_, std::span(values).subspan(at, classes));
      return values;
    };
    row.agreement = agreement(probabilities(a), probabilities(b), a.size() / static_cast<std::size_t>(compared_), kThreshold);
  }

  BenchForm describe(const ModelForm& form) const {
    BenchForm described{form, file_hash(form.model_path), 0};
    std::error_code ignored;
    described.file_bytes = static_cast<std::int64_t>(fs::file_size(form.model_path, ignored));
    if (form.model_path.extension() == ".pt") return described;  // says nothing of itself, and libtorch is heavy
    try {
      const auto info = inspect_model(form.model_path, manifest_.row_shape());
      described.file_bytes = info.file_bytes;
      described.parameters = info.parameters;
      described.macs = info.macs;
    } catch (const Error& error) {
      log(LogLevel::debug, error.what());
    }
    return described;
  }

  std::vector<BenchForm> describe_forms() const {
    std::vector<BenchForm> described;
    for (const auto& form : forms_) described.push_back(describe(form));
    const auto known = std::ranges::find_if(described, [](const auto& form) { return form.macs > 0; });
    for (auto& form : described) {
      if (form.macs == 0 && known != described.end()) form.macs = known->macs;  // the same network
    }
    return described;
  }

  BenchModel result() const {
    BenchModel model{.name = manifest_.name, .forms = describe_forms(), .compared_windows = compared_};
    const auto* reference = reference_candidate();
    for (const auto& c : candidates_) {
      for (auto& row : c->rows()) {
        if (row.error.empty() && reference != nullptr) compare(*c, *reference, row);
        model.rows.push_back(std::move(row));
      }
    }
    std::ranges::stable_sort(
        model.rows, [](const BenchRow& a, const BenchRow& b) { return a.windows_per_s.value > b.windows_per_s.value; });
    if (!model.rows.empty() && model.rows[0].error.empty()) model.best = 0;
    for (std::size_t r = 0; reference != nullptr && r < model.rows.size() && !model.reference; ++r) {
      const auto& row = model.rows[r];
      if (row.form == reference->form() && row.engine == reference->engine() && row.batch == reference->batch())
        model.reference = r;
    }
    return model;
  }

  const BenchOptions& options_;
  const fs::path reference_;
  const fs::path folder_;
  const Manifest manifest_;
  const std::vector<ModelForm> forms_;
  const std::vector<int> workers_;
  Peaks& peaks_;
  std::vector<std::unique_ptr<Candidate>> candidates_;
  fs::path inputs_;
  std::int64_t compared_ = 0;
  std::int64_t memory_ = 0;
  std::int64_t in_use_ = 0;
};

/// For later runs of predict(): the best settings of each form on all cores.
void remember(const BenchModel& model, int cores) {
  for (std::size_t f = 0; f < model.forms.size(); ++f) {
    std::vector<TunedSetting> settings;
    for (const auto& row : model.rows) {
      if (row.form != f || row.workers != cores || !row.error.empty()) continue;
      settings.push_back({row.engine, row.batch, row.windows_per_s.value});
    }
    const auto& form = model.forms[f].form;
    if (!settings.empty()) remember_settings(form.model_path, load_manifest(form.reference).row_shape(), settings);
  }
}

void check(const BenchOptions& options) {
  if (options.models.empty()) throw Error(ErrorCode::invalid_argument, "bench: no model given, expected at least one");
  const auto positive = [](const std::vector<int>& values) { return std::ranges::all_of(values, [](int v) { return v > 0; }); };
  if (!positive(options.batches) || !positive(options.workers) || !(options.seconds > 0)) {
    throw Error(ErrorCode::invalid_argument, "bench: batches, workers and seconds must be above 0");
  }
}

}  // namespace

BenchResult bench(const BenchOptions& options) {
  check(options);
  BenchResult result{.cpu = cpu_info(), .rounds = kRounds, .seconds = options.seconds};
  result.on_recordings = !options.recordings.empty();
  Peaks peaks{result.cpu.cores_allowed, {}, {}};
  const TemporaryFolder folder;
  std::vector<std::unique_ptr<ModelBench>> models;
  for (const auto& model : options.models) {  // all, so that a bad last one is told before the first one is measured
    models.push_back(std::make_unique<ModelBench>(options, model, folder.path(), result.cpu.cores_allowed, peaks));
  }
  for (const auto& model : models) result.models.push_back(model->run());
  for (const auto kind : all_engines()) {
    const auto uses = [&](const BenchModel& model) {
      return std::ranges::any_of(model.rows, [&](const BenchRow& row) { return row.engine == kind; });
    };
    if (std::ranges::any_of(result.models, uses)) result.engines.push_back(engine_status(kind));
  }
  plan::summarize(peaks, result);
  if (options.engines.empty() && options.batches.empty() && options.workers.empty()) {
    for (const auto& model : result.models) remember(model, result.cpu.cores_allowed);
  }
  return result;
}

}  // namespace whimbrel
