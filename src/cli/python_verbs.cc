#include "cli/python_verbs.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>

#include "whimbrel/core.h"

namespace whimbrel::cli {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> folders() {
  std::vector<fs::path> folders = own_folders();
  const char* path = std::getenv("PATH");
  std::istringstream parts(path == nullptr ? "" : path);
  for (std::string part; std::getline(parts, part, ':');) folders.emplace_back(part.empty() ? "." : part);
  return folders;
}

/// Empty where there is none.
fs::path look_for(const std::string& verb) {
  for (const auto& folder : folders()) {
    auto candidate = folder / ("whimbrel-" + verb);
    std::error_code error;
    if (fs::is_regular_file(candidate, error) && access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

}  // namespace

void become_python_verb(char** argv) {
  const auto program = look_for(argv[1]);
  if (program.empty()) return;
  argv[1] = argv[0];
  execv(program.c_str(), argv + 1);
}

fs::path find_python_verb(const std::string& verb) {
  auto program = look_for(verb);
  if (!program.empty()) return program;
  throw Error(ErrorCode::unsupported,
              fmt::format("whimbrel-{0} is neither beside this program nor on PATH; pip install 'whimbrel[{0}]'", verb));
}

void run_python_verb(const fs::path& program, const std::vector<std::string>& arguments) {
  std::string name = program.string();
  std::vector<std::string> words = arguments;
  std::vector<char*> argv = {name.data()};
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  int status = posix_spawn(&child, name.c_str(), nullptr, nullptr, argv.data(), environ);
  if (status == 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  throw Error(ErrorCode::io, fmt::format("{} failed; the other files are complete", name));
}

}  // namespace whimbrel::cli
