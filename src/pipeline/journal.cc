#include "pipeline/journal.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <atomic>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "whimbrel/io.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr auto kName = ".whimbrel-journal";
constexpr double kSyncEvery_s = 5;
constexpr std::uint32_t kBegin =
    0x01'4e'48'57;                    // "WHN" and the version of this format; number: floats of a row; bytes: settings
constexpr std::uint32_t kRows = 2;    // number: of the recording; bytes: float32
constexpr std::uint32_t kDone = 3;    // number: of the recording; bytes: path, NUL, JSON
constexpr std::uint32_t kResume = 4;  // numbers of recordings begin anew

std::string done_text(const RecordingResult& result, const FileStamp& stamp) {
  const Json json = {{"bytes", stamp.bytes},
                     {"modified_ns", stamp.modified_ns},
                     {"windows", result.windows},
                     {"decoded_s", result.decoded_s},
                     {"sample_rate_hz", result.sample_rate_hz},
                     {"channels", result.channels},
                     {"codec", result.codec},
                     {"non_finite_samples", result.non_finite_samples}};
  return result.path.string() + '\0' + json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// @throws Json::exception for what done_text() has not written
JournaledRecording parse_done(std::string_view bytes) {
  const auto split = std::min(bytes.find('\0'), bytes.size());
  JournaledRecording recording;
  auto& result = recording.result;
  result.path = bytes.substr(0, split);
  const auto json = Json::parse(bytes.substr(std::min(split + 1, bytes.size())));
  for (const char* key : {"bytes", "modified_ns", "windows", "sample_rate_hz", "channels", "non_finite_samples"}) {
    if (!json.at(key).is_number_integer()) return recording;  // of no rows, so that it is not counted
  }
  recording.stamp = {json.at("bytes"), json.at("modified_ns")};
  result.state = RecordingState::done;
  result.windows = json.at("windows");
  result.decoded_s = json.at("decoded_s");
  result.sample_rate_hz = json.at("sample_rate_hz");
  result.channels = json.at("channels");
  result.codec = json.at("codec");
  result.non_finite_samples = json.at("non_finite_samples");
  return recording;
}

std::string_view text_of(std::span<const float> rows) {
  const auto bytes = std::as_bytes(rows);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// What the records of an earlier run say, one after the other.
class Reading {
 public:
  void take(const RecordFile::Record& record) {
    if (settings_.empty()) {
      begin(record);
    } else if (is_over_) {
      return;
    } else if (record.kind == kRows) {
      runs_[record.number].push_back({record.position, std::ssize(record.bytes) / row_bytes_});
    } else if (record.kind == kDone) {
      finish(record);
    } else if (record.kind == kResume) {
      runs_.clear();
    }
  }

  std::string settings() { return std::move(settings_); }
  std::vector<JournaledRecording> finished() { return std::move(finished_); }

 private:
  void begin(const RecordFile::Record& record) {
    if (record.kind != kBegin || record.number == 0) return;  // no journal of ours
    settings_ = record.bytes;
    row_bytes_ = static_cast<std::int64_t>(record.number) * static_cast<std::int64_t>(sizeof(float));
  }

  void finish(const RecordFile::Record& record) {
    try {
      auto recording = parse_done(record.bytes);
      std::int64_t rows = 0;
      for (const auto& run : recording.runs = std::exchange(runs_[record.number], {})) rows += run.rows;
      if (rows > 0 && rows == recording.result.windows) finished_.push_back(std::move(recording));
    } catch (const Json::exception&) {
      is_over_ = true;
    }
  }

  std::string settings_;
  std::int64_t row_bytes_ = 0;
  std::map<std::uint32_t, std::vector<RowRun>> runs_;
  std::vector<JournaledRecording> finished_;
  bool is_over_ = false;
};

}  // namespace

FileStamp stamp_of(const fs::path& path) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) return {};
  return {status.st_size, status.st_mtim.tv_sec * std::int64_t{1'000'000'000} + status.st_mtim.tv_nsec};
}

struct Journal::Impl {
  RecordFile file;
  bool syncs = true;
  std::string settings;
  std::vector<JournaledRecording> finished;
  std::atomic<bool> holds_nothing{false};
  std::atomic<Clock::time_point> synced{Clock::now()};

  explicit Impl(RecordFile opened) : file(std::move(opened)) {}
};

Journal::Journal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Journal::~Journal() {
  if (impl_->holds_nothing) remove();
}

std::unique_ptr<Journal> Journal::unnamed(const fs::path& folder) {
  auto impl = std::make_unique<Impl>(RecordFile::unnamed(folder));
  impl->syncs = false;
  return std::unique_ptr<Journal>(new Journal(std::move(impl)));
}

std::unique_ptr<Journal> Journal::of_folder(const fs::path& out_dir) {
  auto impl = std::make_unique<Impl>(RecordFile(out_dir / kName));
  Reading reading;
  impl->file.scan([&](const RecordFile::Record& record) { reading.take(record); });
  impl->settings = reading.settings();
  impl->finished = reading.finished();
  return std::unique_ptr<Journal>(new Journal(std::move(impl)));
}

const std::string& Journal::settings() const { return impl_->settings; }
const std::vector<JournaledRecording>& Journal::finished() const { return impl_->finished; }

void Journal::begin(const std::string& settings, std::size_t row_size) {
  impl_->finished.clear();
  impl_->holds_nothing = true;
  impl_->file.clear();
  impl_->file.append(kBegin, static_cast<std::uint32_t>(row_size), settings);
}

void Journal::resume() { impl_->file.append(kResume, 0, ""); }

std::int64_t Journal::append_rows(std::size_t recording, std::span<const float> rows) {
  return impl_->file.append(kRows, static_cast<std::uint32_t>(recording), text_of(rows));
}

void Journal::read_rows(std::int64_t position, std::span<float> rows) const {
  impl_->file.read(position, {reinterpret_cast<char*>(rows.data()), rows.size() * sizeof(float)});
}

void Journal::finish(std::size_t recording, const RecordingResult& result, const FileStamp& stamp) {
  if (!impl_->syncs) return;
  impl_->holds_nothing = false;
  impl_->file.append(kDone, static_cast<std::uint32_t>(recording), done_text(result, stamp));
  const auto now = Clock::now();
  auto synced = impl_->synced.load();
  if (seconds_between(synced, now) < kSyncEvery_s || !impl_->synced.compare_exchange_strong(synced, now)) return;
  impl_->file.sync();
}

void Journal::remove() { impl_->file.remove(); }

std::string settings_difference(const std::string& now, const std::string& earlier) {
  const auto a = Json::parse(now).flatten(), b = Json::parse(earlier, nullptr, false).flatten();
  std::vector<std::string> differences;
  const auto text = [](const Json& flat, const std::string& key) {
    return flat.contains(key) ? flat.at(key).dump(-1, ' ', false, Json::error_handler_t::replace) : "absent";
  };
  auto keys = a;
  keys.update(b);
  for (const auto& [key, value] : keys.items()) {
    const auto is = text(a, key), was = text(b, key);
    if (is != was) differences.push_back(fmt::format("{} is {}, was {}", key.empty() ? "all" : key.substr(1), is, was));
  }
  return fmt::format("{}", fmt::join(differences, "; "));
}

}  // namespace whimbrel
