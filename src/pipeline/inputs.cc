#include "pipeline/inputs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <glob.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <fstream>
#include <set>
#include <system_error>

#include "whimbrel/audio.h"
#include "whimbrel/io.h"
#include "whimbrel/pipeline.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

std::string lower_extension(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending;
}

bool looks_like_recording(const fs::path& path) {
  const auto& known = recording_extensions();
  return std::find(known.begin(), known.end(), lower_extension(path)) != known.end();
}

/// Adds the recordings that lie in a folder, and its folders. Links to folders are not followed.
std::error_code list_folder(const fs::path& folder, std::vector<fs::path>& recordings, std::vector<fs::path>& folders) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;  // a broken link is no regular file
    if (entry->is_directory(ignored) && !entry->is_symlink(ignored)) {
      folders.push_back(entry->path());
    } else if (entry->is_regular_file(ignored) && looks_like_recording(entry->path())) {
      recordings.push_back(entry->path());
    }
  }
  return error;
}

void add_folder(const fs::path& folder, std::vector<RecordingName>& found) {
  std::vector<fs::path> paths, unlisted, folders = {folder};
  while (!folders.empty()) {
    const fs::path current = std::move(folders.back());
    folders.pop_back();
    // A folder below that cannot be listed is one bad entry of the ledger: what is in it is missing, and the others are not.
    if (const std::error_code error = list_folder(current, paths, folders); error && current != folder) {
      unlisted.push_back(current);
    } else if (error) {
      throw Error(ErrorCode::io, fmt::format("{}: cannot list this folder: {}", folder.string(), error.message()));
    }
  }
  std::sort(paths.begin(), paths.end(), [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  for (auto& path : paths) {
    auto relative = path.lexically_relative(folder);
    found.push_back({std::move(path), std::move(relative)});
  }
  for (auto& path : unlisted) {
    // A name that no recording has, so that formats in which names must differ take it.
    std::string name = path.lexically_relative(folder).string() + " (folder)";
    std::ranges::replace(name, '/', '_');
    found.push_back({std::move(path), name});
  }
}

void add_list(const fs::path& list, std::vector<RecordingName>& found) {
  std::ifstream file(list);
  if (!file) throw Error(ErrorCode::not_found, fmt::format("{}: no such list of recordings", list.string()));
  for (std::string line; read_line(file, line, list);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    // The system ends a name at its first zero byte, so that outputs would be named otherwise than they are checked.
    if (line.find('\0') != std::string::npos) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: a zero byte in a name, expected a text file with one recording a line", list.string()));
    }
    const fs::path path = line;
    std::error_code ignored;  // what cannot be looked at is a bad recording
    if (fs::is_directory(path, ignored)) {
      add_folder(path, found);
    } else {
      found.push_back({path, path.filename()});
    }
  }
}

}  // namespace

void prepare_folder(const fs::path& folder) {
  if (folder.empty()) throw Error(ErrorCode::invalid_argument, "no output folder given, expected --out");
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error && !fs::is_directory(folder, error)) error = std::make_error_code(std::errc::not_a_directory);
  if (!error && ::access(folder.c_str(), W_OK | X_OK) != 0) error = {errno, std::generic_category()};
  if (!error) return;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: {}, expected a folder that results can be written to; choose another --out", folder.string(),
                          error.message()));
}

std::vector<RecordingName> find_recordings(const std::vector<std::string>& inputs) {
  std::vector<RecordingName> found;
  for (const auto& input : inputs) {
    const fs::path path = input;
    std::error_code ignored;  // what cannot be looked at, such as a link to itself, is a bad recording
    const fs::file_type type = fs::status(path, ignored).type();
    if (type == fs::file_type::directory) {
      add_folder(path, found);
    } else if (type != fs::file_type::not_found) {
      found.push_back({path, path.filename()});
    } else if (input.starts_with('@')) {
      add_list(input.substr(1), found);
    } else {
      throw Error(ErrorCode::not_found, fmt::format("{}: no such recording or folder", input));
    }
  }
  std::set<std::string> seen;
  std::erase_if(found,
                [&](const RecordingName& r) { return !seen.insert(fs::absolute(r.path).lexically_normal().native()).second; });
  if (found.empty()) {
    throw Error(ErrorCode::invalid_argument, fmt::format("no recordings in {}; folders are searched for {}",
                                                         fmt::join(inputs, ", "), fmt::join(recording_extensions(), " ")));
  }
  return found;
}

std::vector<fs::path> recording_paths(const std::vector<std::string>& inputs) {
  std::vector<fs::path> paths;
  for (auto& recording : find_recordings(inputs)) paths.push_back(std::move(recording.path));
  return paths;
}

std::vector<RecordingName> shard(std::vector<RecordingName> recordings, int index, int count) {
  if (count < 1 || index < 1 || index > count) {
    throw Error(ErrorCode::invalid_argument, fmt::format("shard {}/{}, expected I/N with 1 <= I <= N", index, count));
  }
  std::vector<RecordingName> mine;
  for (auto i = static_cast<std::size_t>(index - 1); i < recordings.size(); i += static_cast<std::size_t>(count)) {
    mine.push_back(std::move(recordings[i]));
  }
  return mine;
}

std::vector<fs::path> find_models(const std::vector<std::string>& references) {
  std::vector<fs::path> models;
  for (const auto& reference : references) {
    std::error_code ignored;
    if (fs::exists(reference, ignored) || reference.find_first_of("*?[") == std::string::npos) {
      models.emplace_back(reference);  // a missing one is told by who reads it
      continue;
    }
    glob_t matches{};
    const int failed = ::glob(reference.c_str(), GLOB_ERR, nullptr, &matches);
    for (std::size_t i = 0; i < matches.gl_pathc; ++i) models.emplace_back(matches.gl_pathv[i]);
    ::globfree(&matches);
    if (failed != 0) throw Error(ErrorCode::not_found, fmt::format("{}: no model matches this pattern", reference));
  }
  return models;
}

}  // namespace whimbrel
