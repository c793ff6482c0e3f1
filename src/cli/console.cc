#include "cli/console.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <mutex>

namespace whimbrel::cli {
namespace {

constexpr double kLineEvery_s = 10;
constexpr const char* kClearLine = "\r\033[K";

struct Console {
  std::mutex mutex;
  bool quiet = false;
  bool terminal = isatty(STDERR_FILENO) != 0;
  bool line_shown = false;
  Clock::time_point last_line = Clock::now();
};

Console& console() {
  static Console instance;
  return instance;
}

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::atomic<bool> stop_asked{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set by a signal handler");

constexpr std::array kStopSignals = {SIGINT, SIGTERM, SIGHUP};

void on_signal(int) {
  stop_asked = true;
  for (const int signal : kStopSignals) std::signal(signal, SIG_DFL);
}

void clear_line(Console& c) {
  if (c.line_shown) say(kClearLine);
  c.line_shown = false;
}

}  // namespace

void start_console(Verbosity verbosity) {
  console().quiet = verbosity == Verbosity::quiet;
  auto logger = spdlog::stderr_color_mt("whimbrel");
  logger->set_pattern("%^%l%$: %v");
  logger->set_level(console().quiet ? spdlog::level::warn : spdlog::level::info);
  set_log_sink([logger](LogLevel level, std::string_view message) {
    const std::lock_guard lock(console().mutex);
    clear_line(console());
    logger->log(level_of(level), "{}", printable(std::string(message)));
  });
}

void say(const std::string& text) { static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr)); }

void show_progress(const Progress& p) {
  auto& c = console();
  const std::lock_guard lock(c.mutex);
  if (c.quiet) return;
  if (!c.terminal && seconds_between(c.last_line, Clock::now()) < kLineEvery_s) return;
  c.last_line = Clock::now();
  const std::string eta = p.eta_s > 0 ? "  eta " + duration_text(p.eta_s) : "";
  say(fmt::format("{}predict  {}/{} recordings  {:.1f} w/s{}{}", c.terminal ? kClearLine : "", p.recordings_done,
                  p.recordings_total, p.windows_per_s, eta, c.terminal ? "" : "\n"));
  c.line_shown = c.terminal;
}

void end_progress() {
  const std::lock_guard lock(console().mutex);
  clear_line(console());
}

std::string duration_text(double seconds) {
  if (seconds < 9.95) return fmt::format("{:.1f}s", seconds);
  const auto whole = std::llround(seconds);
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}h{:02}m", whole / 3600, whole % 3600 / 60);
}

std::string size_text(double bytes) {
  constexpr std::array units = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < units.size()) {
    bytes /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, units[unit]);
}

std::string printable(std::string text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F are control characters too: U+009B begins an escape sequence.
    const bool second = i > 0 && text[i - 1] == '\xc2' && c >= 0x80 && c < 0xa0;
    if (second) text[i - 1] = '?';
    if (c < 0x20 || c == 0x7f || second) text[i] = '?';
  }
  return text;
}

const std::atomic<bool>& stop_on_signals() {
  for (const int signal : kStopSignals) {
    // What nohup, or a script's "&", has told to ignore a signal goes on ignoring it.
    if (std::signal(signal, on_signal) == SIG_IGN) std::signal(signal, SIG_IGN);
  }
  return stop_asked;
}

}  // namespace whimbrel::cli
