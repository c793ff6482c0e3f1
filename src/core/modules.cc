#include <dlfcn.h>

#include "whimbrel/core.h"

namespace whimbrel {

std::vector<std::filesystem::path> own_folders() {
  std::vector<std::filesystem::path> folders;
  std::error_code failed;
  const auto executable = std::filesystem::read_symlink("/proc/self/exe", failed);
  if (!failed) folders.push_back(executable.parent_path());
  // In Python the executable is python; the extension module that holds this code is what the engines are installed beside.
  Dl_info here{};
  if (dladdr(reinterpret_cast<const void*>(&own_folders), &here) != 0 && here.dli_fname != nullptr) {
    const auto library = std::filesystem::weakly_canonical(here.dli_fname, failed);
    if (!failed && (folders.empty() || library.parent_path() != folders.front())) folders.push_back(library.parent_path());
  }
  return folders;
}

namespace {

std::vector<std::filesystem::path> module_candidates(const std::string& file) {
  std::vector<std::filesystem::path> candidates;
  for (const auto& folder : own_folders()) {
    candidates.push_back(folder / file);
    candidates.push_back(folder.parent_path() / file);  // of whimbrel/bin, in a wheel
    candidates.push_back(folder.parent_path() / "lib" / "whimbrel" / file);
  }
  const std::filesystem::path build = WHIMBREL_MODULE_FOLDER;  // empty in what is installed
  if (!build.empty()) candidates.push_back(build / file);
  return candidates;
}

/// Empty when it worked, else why not.
std::string try_module(const std::filesystem::path& path, const char* entry, const std::function<bool(void*)>& accept) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return dlerror();
  void* function = dlsym(library, entry);
  if (function != nullptr && accept(function)) return {};
  return path.string() + " is not of this version of whimbrel";
}

}  // namespace

std::string open_module(const std::string& file, const std::filesystem::path& folder, const char* entry,
                        const std::function<bool(void*)>& accept) {
  std::string failures, places;
  const auto add = [](std::string& list, const char* separator, const std::string& item) {
    list += (list.empty() ? "" : separator) + item;
  };
  for (const auto& candidate : folder.empty() ? module_candidates(file) : std::vector{folder / file}) {
    add(places, ", ", candidate.string());
    std::error_code ignored;
    if (!std::filesystem::exists(candidate, ignored)) continue;
    const auto failure = try_module(candidate, entry, accept);
    if (failure.empty()) return {};
    add(failures, "; ", failure);
  }
  return failures.empty() ? "looked for " + places : failures;
}

}  // namespace whimbrel
