// The verbs of the command line, one file each.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace whimbrel::cli {

/// What main() does with a verb that was asked for: run it and exit with what it returns.
struct Verb {
  CLI::App* app;
  std::function<int()> run;
};

Verb add_predict(CLI::App& root);
Verb add_info(CLI::App& root);
Verb add_score(CLI::App& root);
Verb add_convert(CLI::App& root);
Verb add_quantize(CLI::App& root);
Verb add_bench(CLI::App& root);
Verb add_bench_row(CLI::App& root);
Verb add_plan(CLI::App& root);

}  // namespace whimbrel::cli
