// What the person at the terminal sees while a verb works: log lines and one progress line, both on stderr.
#pragma once

#include <atomic>
#include <string>

#include "whimbrel/pipeline.h"

namespace whimbrel::cli {

enum class Verbosity { normal, quiet };

/// Sends the library's log lines to stderr; quiet keeps warnings and errors only.
void start_console(Verbosity verbosity);

/// Writes to stderr. A terminal that is gone or a pipe that nobody reads must not end a run of hours: it is not told.
void say(const std::string& text);

/// "predict  137/200 recordings  83.1 w/s  eta 1m12s": redrawn on a terminal, a new line every 10 s elsewhere, nothing when
/// quiet.
void show_progress(const Progress& progress);

/// Removes the progress line before results are printed.
void end_progress();

/// "1h02m", "1m12s", "8.4s"
std::string duration_text(double seconds);

/// "8.9 MB"
std::string size_text(double bytes);

/// Text of a file name or label for a terminal: control characters become "?".
std::string printable(std::string text);

/// From now on the first Ctrl-C, SIGTERM or SIGHUP sets what is returned to true, for a clean end; the second one ends at once.
const std::atomic<bool>& stop_on_signals();

}  // namespace whimbrel::cli
