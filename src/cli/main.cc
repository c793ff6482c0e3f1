// The `whimbrel` command: parses, runs one verb, and turns what went wrong into one line and an exit code.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <vector>

#include "cli/console.h"
#include "cli/python_verbs.h"
#include "cli/verbs.h"
#include "whimbrel/core.h"
#include "whimbrel/pipeline.h"

namespace whimbrel::cli {
namespace {

constexpr int kUsage = 2;
constexpr int kFatal = 3;

int exit_code_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::bad_manifest:
    case ErrorCode::bad_recording:
    case ErrorCode::not_found:
    case ErrorCode::unsupported:
      return kUsage;
    case ErrorCode::io:
    case ErrorCode::engine:
    case ErrorCode::cancelled:
    case ErrorCode::internal:
      return kFatal;
  }
  return kFatal;
}

int fail(std::string_view code, const std::string& message, int exit_code, bool json) {
  end_progress();
  if (json) {
    const nlohmann::ordered_json object = {{"error", {{"code", code}, {"message", message}}}, {"exit_code", exit_code}};
    fmt::print("{}\n", object.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  }
  say(fmt::format("whimbrel: {}\n", printable(message)));
  return exit_code;
}

/// What was printed is buffered until here: a full disk or a closed pipe behind stdout must not look like success.
int flush_stdout(int exit_code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return exit_code;
  say(fmt::format("whimbrel: stdout: cannot write: {}; what was printed is cut, files that were written are whole\n",
                  std::generic_category().message(errno)));
  return exit_code <= 1 ? kFatal : exit_code;
}

/// A file opened later must not become stdout or stderr of a process that was started without: messages would go into it.
void keep_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    static_cast<void>(::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY));  // the lowest; using it remains an error
  }
}

int parse_and_run(CLI::App& app, const std::vector<Verb>& verbs, int argc, char** argv, bool json) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return fail("invalid_argument", fmt::format("{}; see whimbrel {} --help", error.what(), argc > 1 ? argv[1] : ""), kUsage,
                json);
  }
  for (const auto& verb : verbs) {
    if (verb.app->parsed()) return verb.run();
  }
  fmt::print("{}", app.help());
  return kUsage;
}

int run(int argc, char** argv) {
  CLI::App app{"Runs PyTorch-trained models over long recordings on plain CPUs.", "whimbrel"};
  app.set_version_flag("--version", "whimbrel " WHIMBREL_VERSION);
  app.footer(
      "Python verbs: export (PyTorch -> ONNX, TorchScript and a manifest), report (a run, bench or plan -> one HTML page),\n"
      "parquet (a run's scores.npy -> Parquet); each has its own --help\n"
      "exit codes: 0 all done; 1 finished, some recordings failed; 2 usage or a bad manifest; 3 fatal");
  const std::vector<Verb> verbs = {add_predict(app), add_info(app), add_convert(app), add_quantize(app),
                                   add_bench(app),   add_plan(app), add_score(app),   add_bench_row(app)};

  if (argc > 1 && argv[1][0] != '-') {
    std::vector<std::string> names;
    for (const auto& verb : verbs) names.push_back(verb.app->get_name());
    if (std::find(names.begin(), names.end(), argv[1]) == names.end()) {
      const std::string word = argv[1];
      become_python_verb(argv);
      names.insert(names.end(), {"export", "report", "parquet"});
      const std::string close = closest_word(word, names);
      return fail(
          "invalid_argument",
          fmt::format("no verb \"{}\"{}; whimbrel --help lists them", word, close.empty() ? "" : ", did you mean " + close),
          kUsage, false);
    }
  }
  const bool json = std::any_of(argv + 1, argv + argc, [](const char* word) { return std::strcmp(word, "--json") == 0; });
  try {
    return parse_and_run(app, verbs, argc, argv, json);
  } catch (const Error& error) {
    return fail(to_string(error.code()), error.what(), exit_code_of(error.code()), json);
  } catch (const std::exception& error) {
    return fail("internal", error.what(), kFatal, json);
  }
}

}  // namespace
}  // namespace whimbrel::cli

int main(int argc, char** argv) {
  whimbrel::process_start();
  whimbrel::cli::keep_standard_descriptors();
  // Both then come back as errors of the write, which have words and a clean end.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  const int code = whimbrel::cli::flush_stdout(whimbrel::cli::run(argc, argv));
  if (!whimbrel::threads_left_behind()) return code;
  std::fflush(nullptr);
  std::_Exit(code);
}
