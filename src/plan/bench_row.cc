// The process of one row: opens one session and measures slices of it as it is asked.
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <latch>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "whimbrel/io.h"
#include "whimbrel/plan.h"

namespace whimbrel {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLeastRuns = 3;
constexpr std::size_t kMostRuns = 5000;

/// VmHWM, and not getrusage(): that one remembers the process that this one was started from.
std::int64_t peak_memory_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return 1024 * std::stoll(line.substr(6));
  }
  return peak_rss_bytes();
}

class BenchedSession {
 public:
  /// Opens the session and runs it for the first time.
  Json open(const Json& command) {
    const auto manifest = load_manifest(command.at("model").get<std::string>());
    const auto word = command.at("engine").get<std::string>();
    const auto engine = engine_from_string(word);
    if (!engine) throw Error(ErrorCode::internal, "bench-row: engine \"" + word + "\"");
    batch_ = command.at("batch").get<int>();
    SessionOptions options{.batch = batch_, .workers = command.at("workers").get<int>(), .row_shape = manifest.row_shape()};
    if (!manifest.clip_output.empty()) options.outputs = {manifest.clip_output};
    session_ = open_session(*engine, manifest.model_path, options);
    const auto opened = Clock::now();
    need_runners(1);
    const auto begin = Clock::now();
    runners_[0]->run();
    const double first_s = seconds_between(begin, Clock::now());
    const auto expected = manifest.probe ? std::span<const float>(manifest.probe->output) : std::span<const float>();
    check_session(*session_, expected, manifest.probe ? manifest.probe->tolerance : 0, manifest.path.string());
    return {{"opened_ns", std::chrono::nanoseconds(opened.time_since_epoch()).count()},
            {"first_s", first_s},
            {"peak_rss_bytes", peak_memory_bytes()}};
  }

  /// Windows a second of so many workers, each over its own runs: nobody waits for the others' last one.
  Json throughput(int workers, double seconds) {
    need_runners(workers);
    std::latch ready(workers);
    std::vector<double> rates(static_cast<std::size_t>(workers));
    std::vector<std::exception_ptr> failures(rates.size());
    {
      std::vector<std::jthread> threads;
      for (std::size_t w = 0; w < rates.size(); ++w) {
        threads.emplace_back([&, w] {
          ready.arrive_and_wait();
          try {
            rates[w] = rate_of(*runners_[w], seconds);
          } catch (...) {
            failures[w] = std::current_exception();
          }
        });
      }
    }
    for (const auto& failure : failures) {
      if (failure) std::rethrow_exception(failure);
    }
    double sum = 0;
    for (const double rate : rates) sum += rate;
    return {{"windows_per_s", sum}, {"peak_rss_bytes", peak_memory_bytes()}};
  }

  Json latency(double seconds) {
    std::vector<double> ms;
    for (const auto begin = Clock::now();
         ms.size() < kLeastRuns || (ms.size() < kMostRuns && seconds_between(begin, Clock::now()) < seconds);) {
      const auto run = Clock::now();
      runners_[0]->run();
      ms.push_back(1e3 * seconds_between(run, Clock::now()));
    }
    return {{"ms", ms}};
  }

  /// The first output for each row of a file, written to another one.
  Json outputs(const std::string& inputs, std::int64_t rows, const std::string& to) {
    std::ifstream in(inputs, std::ios::binary);
    AtomicFile out(to);
    auto& runner = *runners_[0];
    const auto row = runner.input().size() / static_cast<std::size_t>(batch_);
    for (std::int64_t at = 0; at < rows; at += batch_) {
      const auto count = static_cast<std::size_t>(std::min<std::int64_t>(batch_, rows - at));
      const auto bytes = std::as_writable_bytes(runner.input().first(count * row));
      in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
      if (!in) throw Error(ErrorCode::io, inputs + ": too short");
      runner.run();
      const auto values = runner.output(0);
      out.write(values.first(values.size() / static_cast<std::size_t>(batch_) * count));
    }
    out.commit();
    std::ranges::copy(probe_input(std::ssize(runner.input())), runner.input().begin());
    return {{"bytes", out.size()}};
  }

 private:
  void need_runners(int count) {
    while (std::ssize(runners_) < count) {
      auto runner = session_->make_runner();
      std::ranges::copy(probe_input(std::ssize(runner->input())), runner->input().begin());
      runners_.push_back(std::move(runner));
    }
  }

  double rate_of(Runner& runner, double seconds) const {
    std::int64_t windows = 0;
    double elapsed = 0;
    for (const auto begin = Clock::now(); windows == 0 || elapsed < seconds; elapsed = seconds_between(begin, Clock::now())) {
      runner.run();
      windows += batch_;
    }
    return static_cast<double>(windows) / elapsed;
  }

  int batch_ = 1;
  std::unique_ptr<Session> session_;
  std::vector<std::unique_ptr<Runner>> runners_;
};

Json obey(BenchedSession& session, const Json& command) {
  const auto what = command.at("do").get<std::string>();
  if (what == "open") return session.open(command);
  const auto seconds = command.value("seconds", 0.0);
  if (what == "throughput") return session.throughput(command.at("workers").get<int>(), seconds);
  if (what == "latency") return session.latency(seconds);
  return session.outputs(command.at("inputs").get<std::string>(), command.at("rows").get<std::int64_t>(),
                         command.at("to").get<std::string>());
}

void answer(int descriptor, const Json& json) {
  const auto line = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  for (std::size_t done = 0; done < line.size();) {
    const auto n = ::write(descriptor, line.data() + done, line.size() - done);
    if (n <= 0) return;  // nobody listens any more; the next read says so too
    done += static_cast<std::size_t>(n);
  }
}

}  // namespace

int serve_bench_row() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int answers = ::dup(STDOUT_FILENO);
  ::dup2(STDERR_FILENO, STDOUT_FILENO);  // engines write where they like
  BenchedSession session;
  for (std::string line; std::getline(std::cin, line);) {
    try {
      answer(answers, obey(session, Json::parse(line)));
    } catch (const std::exception& error) {
      answer(answers, {{"error", error.what()}});
    }
  }
  return 0;
}

}  // namespace whimbrel
