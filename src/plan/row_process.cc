#include "plan/row_process.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace whimbrel::plan {
namespace {

constexpr int kLookEvery_ms = 100;
constexpr double kPatience_s = 900;  // compiling a large network for a batch of 16 takes minutes on a small machine

[[noreturn]] void fail(const std::filesystem::path& program, const char* what, int code) {
  throw Error(ErrorCode::io, fmt::format("bench: {}: {}: {}", program.string(), what, std::system_category().message(code)));
}

}  // namespace

RowProcess::RowProcess(const std::filesystem::path& program, const std::atomic<bool>* cancel) : cancel_(cancel) {
  const std::filesystem::path file = program.empty() ? "/proc/self/exe" : program;
  std::array<int, 2> ends{};
  // A socket, because writing to one whose reader died can be told not to raise SIGPIPE.
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) fail(file, "cannot make a socket", errno);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  std::string name = "whimbrel", verb = "bench-row";
  const std::array<char*, 3> words = {name.data(), verb.data(), nullptr};
  started_ = Clock::now();
  const int code = ::posix_spawn(&id_, file.c_str(), &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  socket_ = ends[0];
  if (code == 0) return;
  ::close(socket_);
  fail(file, "cannot start it", code);
}

RowProcess::~RowProcess() {
  ::close(socket_);
  if (id_ < 0) return;
  ::kill(id_, SIGKILL);
  while (::waitpid(id_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void RowProcess::report_end() {
  int status = 0;
  pid_t ended = 0;
  while ((ended = ::waitpid(id_, &status, 0)) < 0 && errno == EINTR) {
  }
  id_ = -1;
  // Ctrl-C at a terminal reaches the children as well.
  if (cancel_ != nullptr && *cancel_) throw Error(ErrorCode::cancelled, "bench: stopped as asked");
  if (ended > 0 && WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    throw Error(ErrorCode::engine, fmt::format("the process of this row was ended by signal {} ({})", signal,
                                               signal == SIGKILL ? "killed: perhaps out of memory" : ::strsignal(signal)));
  }
  throw Error(ErrorCode::engine, fmt::format("the process of this row ended by itself with code {}", WEXITSTATUS(status)));
}

std::string RowProcess::ask(std::string line) {
  if (id_ < 0) throw Error(ErrorCode::engine, "the process of this row has ended");
  line += '\n';
  for (std::size_t sent = 0; sent < line.size();) {
    const auto n = ::send(socket_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) report_end();
    sent += static_cast<std::size_t>(n);
  }
  const auto asked = Clock::now();
  for (;;) {
    if (const auto end = received_.find('\n'); end != std::string::npos) {
      auto answer = received_.substr(0, end);
      received_.erase(0, end + 1);
      return answer;
    }
    if (cancel_ != nullptr && *cancel_) throw Error(ErrorCode::cancelled, "bench: stopped as asked");
    if (seconds_between(asked, Clock::now()) > kPatience_s) {
      throw Error(ErrorCode::engine, fmt::format("the process of this row gave no answer in {:.0f} s", kPatience_s));
    }
    pollfd ready{socket_, POLLIN, 0};
    if (::poll(&ready, 1, kLookEvery_ms) <= 0) continue;
    std::array<char, 65536> block{};
    const auto n = ::recv(socket_, block.data(), block.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) report_end();
    received_.append(block.data(), static_cast<std::size_t>(n));
  }
}

}  // namespace whimbrel::plan
