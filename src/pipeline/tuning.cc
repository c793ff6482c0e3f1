#include "pipeline/tuning.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "pipeline/forms.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kFormat = 1;
constexpr std::int64_t kMostBytes = std::int64_t{16} << 20;
constexpr std::size_t kMostEntries = 2000;  // the oldest go

/// What an entry must say to be about this file on this machine, but for the engines.
Json key_of(const fs::path& model, const Shape& row_shape) {
  const auto cpu = cpu_info();
  return {{"model_hash", file_hash(model)},
          {"row_shape", row_shape},
          {"cpu", cpu.model},
          {"integer_path", cpu.integer_path},
          {"cores", cpu.cores_allowed}};
}

bool has_key(const Json& entry, const Json& key) {
  return std::ranges::all_of(key.items(),
                             [&](const auto& item) { return entry.contains(item.key()) && entry[item.key()] == item.value(); });
}

/// An engine that came, went or changed may change which one is best.
Json versions_for(const fs::path& model) {
  Json versions = Json::object();
  for (const auto kind : engines_that_read(model)) versions[std::string(to_string(kind))] = engine_status(kind).version;
  return versions;
}

/// The entries of the file; none where it is absent or cannot be used, which is said once for each call.
Json read_entries(const fs::path& path) {
  std::error_code ignored;
  if (path.empty() || !fs::exists(path, ignored)) return Json::array();
  try {
    auto json = Json::parse(read_file(path, kMostBytes), nullptr, false);
    if (json.is_object() && json.value("format", Json()) == kFormat && json.value("entries", Json()).is_array()) {
      return json["entries"];
    }
    log(LogLevel::warning, fmt::format("{}: not a tuning file of format {}, expected what whimbrel bench writes; ignored, and "
                                       "replaced by the next measurement",
                                       path.string(), kFormat));
  } catch (const Error& error) {
    log(LogLevel::warning, error.what());
  }
  return Json::array();
}

std::optional<TunedSetting> parse_setting(const Json& json) {
  const auto engine = engine_from_string(json.at("engine").get<std::string>());
  const int batch = json.at("batch").get<int>();
  if (!engine || batch < 1 || batch > 1024) return std::nullopt;
  return TunedSetting{*engine, batch, json.at("windows_per_s").get<double>()};
}

/// Empty for an entry that somebody has spoilt.
std::vector<TunedSetting> parse_settings(const Json& entry) {
  std::vector<TunedSetting> settings;
  try {
    for (const auto& json : entry.at("settings")) {
      const auto setting = parse_setting(json);
      if (!setting) return {};
      settings.push_back(*setting);
    }
  } catch (const Json::exception&) {
    return {};
  }
  return settings;
}

/// Keeps other processes out while the file is read, changed and replaced.
class Lock {
 public:
  /// @throws Error{io}
  explicit Lock(const fs::path& path) : fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666)) {
    if (fd_ < 0 || ::flock(fd_, LOCK_EX) != 0) {
      const int code = errno;
      if (fd_ >= 0) ::close(fd_);
      throw Error(ErrorCode::io, fmt::format("{}: cannot lock: {}", path.string(), std::system_category().message(code)));
    }
  }
  ~Lock() { ::close(fd_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  int fd_;
};

std::string now_text() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

constexpr auto kBatch = "for_batch";

template <class Replaces>
void replace_entries(const fs::path& path, const Replaces& replaces, Json entry) {
  fs::create_directories(path.parent_path());
  const Lock lock(path.string() + ".lock");
  auto entries = read_entries(path);
  Json kept = Json::array();
  for (auto& other : entries) {
    if (other.is_object() && !replaces(other)) kept.push_back(std::move(other));
  }
  while (kept.size() >= kMostEntries) kept.erase(0);
  kept.push_back(std::move(entry));
  AtomicFile file(path);
  file.write(Json{{"format", kFormat}, {"entries", std::move(kept)}}.dump(1, ' ', false, Json::error_handler_t::replace) +
             "\n");
  file.commit();
}

}  // namespace

fs::path tuning_path() {
  const auto folder = [](const char* name) -> fs::path {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  if (const auto cache = folder("WHIMBREL_CACHE"); !cache.empty()) return cache / "tuning.json";
  if (const auto cache = folder("XDG_CACHE_HOME"); cache.is_absolute()) return cache / "whimbrel" / "tuning.json";
  const auto home = folder("HOME");
  return home.empty() ? fs::path() : home / ".cache" / "whimbrel" / "tuning.json";
}

std::vector<TunedSetting> find_settings(const fs::path& model, const Shape& row_shape, int batch) {
  const auto entries = read_entries(tuning_path());
  if (entries.empty()) return {};  // what follows costs reading the model
  const auto key = key_of(model, row_shape);
  const auto versions = versions_for(model);
  for (const int wanted : {batch, 0}) {
    for (const auto& entry : entries) {
      if (!entry.is_object() || !has_key(entry, key) || entry.value("engines", Json()) != versions) continue;
      if (entry.value(kBatch, Json()) != wanted) continue;
      if (auto settings = parse_settings(entry); !settings.empty()) return settings;
    }
  }
  return {};
}

void store_settings(const fs::path& model, const Shape& row_shape, const std::vector<TunedSetting>& settings, Tuned how,
                    int batch) {
  const auto path = tuning_path();
  if (path.empty() || settings.empty()) return;
  try {
    const auto key = key_of(model, row_shape);
    Json entry = key;
    entry["engines"] = versions_for(model);
    entry["model"] = model.filename().string();
    entry["how"] = how == Tuned::bench ? "bench" : "quick";
    entry[kBatch] = batch;
    entry["when"] = now_text();
    for (const auto& s : settings) {
      entry["settings"].push_back({{"engine", to_string(s.engine)}, {"batch", s.batch}, {"windows_per_s", s.windows_per_s}});
    }
    const auto replaces = [&](const Json& other) {
      return has_key(other, key) && (how == Tuned::bench || other.value(kBatch, Json()) == batch);
    };
    replace_entries(path, replaces, std::move(entry));
  } catch (const std::exception& error) {  // a run does not need it
    log(LogLevel::debug, fmt::format("the setting of {} is not kept: {}", model.string(), error.what()));
  }
}

void remember_settings(const fs::path& model, const Shape& row_shape, const std::vector<TunedSetting>& settings) {
  store_settings(model, row_shape, settings, Tuned::bench);
}

}  // namespace whimbrel
