#include "pipeline/resume.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "whimbrel/io.h"

namespace whimbrel {
namespace {

using Json = nlohmann::json;

Json grid_json(const WindowGrid& grid) {
  return {{"sample_rate_hz", grid.sample_rate_hz},
          {"window_samples", grid.window_samples},
          {"hop_samples", grid.hop_samples},
          {"min_signal", grid.min_signal}};
}

/// Of a member that a time budget left closed, engine and batch are null.
Json member_json(const Member& member) {
  Json json = {{"manifest", file_hash(member.manifest.path)},
               {"model", member.hash.empty() ? file_hash(member.manifest.model_path) : member.hash},
               {"weight", member.weight},
               {"engine", nullptr},
               {"engine_version", nullptr},
               {"batch", nullptr}};
  if (member.session == nullptr) return json;
  json["engine"] = to_string(member.engine);
  json["engine_version"] = engine_status(member.engine).version;
  json["batch"] = member.batch;
  return json;
}

Json cascade_json(const std::optional<Cascade>& cascade) {
  if (!cascade) return nullptr;
  return {{"gate", cascade->gate}, {"threshold", cascade->threshold}, {"slope", cascade->slope}, {"offset", cascade->offset}};
}

std::string labels_hash(const std::vector<Label>& labels) {
  std::string texts;
  for (const auto& label : labels) texts += label.text + '\n';
  return text_hash(texts);
}

void check_settings(const std::string& difference) {
  if (difference.empty()) return;
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format("--resume: this run is not the one that was ended: {}; --resume=redo scores all recordings anew, another "
                  "--out keeps both",
                  difference));
}

std::vector<const JournaledRecording*> match(const Journal& journal, const std::vector<RecordingName>& names) {
  std::map<std::filesystem::path, const JournaledRecording*> by_path;
  for (const auto& recording : journal.finished()) by_path[recording.result.path] = &recording;
  std::vector<const JournaledRecording*> found;
  for (const auto& name : names) {
    const auto at = by_path.find(name.path);
    found.push_back(at == by_path.end() ? nullptr : at->second);
  }
  return found;
}

std::string stamp_text(const FileStamp& stamp) {
  return stamp.bytes < 0 ? "gone" : fmt::format("{} bytes of {} ns", stamp.bytes, stamp.modified_ns);
}

/// Leaves out recordings that changed since they were scored.
void check_recordings(const std::vector<RecordingName>& names, Resume mode, std::vector<const JournaledRecording*>& finished) {
  std::size_t changed = 0;
  std::string first;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (finished[i] == nullptr) continue;
    const auto now = stamp_of(names[i].path);
    if (now == finished[i]->stamp) continue;
    if (++changed == 1)
      first = fmt::format("{} (is {}, was {})", names[i].path.string(), stamp_text(now), stamp_text(finished[i]->stamp));
    finished[i] = nullptr;
  }
  if (changed == 0) return;
  const auto found = fmt::format("{} recording{} changed since {} scored: {}{}", changed, changed == 1 ? "" : "s",
                                 changed == 1 ? "it was" : "they were", first, changed == 1 ? "" : " and others");
  if (mode == Resume::strict) {
    throw Error(ErrorCode::invalid_argument, fmt::format("--resume: {}; --resume=redo scores what changed anew", found));
  }
  log(LogLevel::info, fmt::format("resume: {}; scored anew", found));
}

}  // namespace

std::string run_settings(const Ensemble& ensemble, const std::vector<double>& tta_shifts_s) {
  Json settings = {{"whimbrel", WHIMBREL_VERSION},
                   {"cpu", cpu_info().model},
                   {"labels", labels_hash(ensemble.labels)},
                   {"tta_shifts_s", tta_shifts_s},
                   {"mean", to_string(ensemble.mean)},
                   {"mean_power", ensemble.mean_power},
                   {"cascade", cascade_json(ensemble.cascade)},
                   {"frames", ensemble.layout.frames},
                   {"embedding", ensemble.layout.embedding}};
  for (const auto& grid : ensemble.grids) settings["windows"].push_back(grid_json(grid));
  for (const auto& member : ensemble.members) {
    if (member.shift_s == 0) settings["models"].push_back(member_json(member));
  }
  return settings.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void take_engines(Ensemble& ensemble, const std::string& earlier_settings) {
  const auto settings = Json::parse(earlier_settings, nullptr, false);
  const auto models = settings.is_object() ? settings.value("models", Json::array()) : Json::array();
  if (!models.is_array()) return;
  for (std::size_t m = 0; m < std::min(models.size(), ensemble.members.size()); ++m) {
    if (!models[m].is_object()) continue;
    const auto word = models[m].value("engine", Json()), batch = models[m].value("batch", Json());
    if (!word.is_string() || !batch.is_number_integer() || batch < 1 || batch > 1024) continue;
    if (const auto engine = engine_from_string(word.get<std::string>()))
      ensemble.members[m].earlier = {*engine, batch.get<int>()};
  }
}

std::vector<const JournaledRecording*> go_on(Journal& journal, Resume mode, const std::string& settings, std::size_t row_size,
                                             const std::vector<RecordingName>& names) {
  std::vector<const JournaledRecording*> none(names.size());
  if (journal.finished().empty()) {
    if (mode != Resume::off) log(LogLevel::info, "resume: nothing was scored here before; the run begins");
    journal.begin(settings, row_size);
    return none;
  }
  const auto difference = settings_difference(settings, journal.settings());
  if (mode == Resume::strict) check_settings(difference);
  if (mode == Resume::off || !difference.empty()) {
    log(LogLevel::warning,
        mode == Resume::off
            ? fmt::format("a run that was ended here after {} recordings is begun anew; --resume would have gone on with it",
                          journal.finished().size())
            : fmt::format("resume: not the run that was ended: {}; all recordings are scored anew", difference));
    journal.begin(settings, row_size);
    return none;
  }
  auto finished = match(journal, names);
  check_recordings(names, mode, finished);
  log(LogLevel::info,
      fmt::format("resume: {} of {} recordings were scored before",
                  names.size() - static_cast<std::size_t>(std::ranges::count(finished, nullptr)), names.size()));
  journal.resume();
  return finished;
}

}  // namespace whimbrel
