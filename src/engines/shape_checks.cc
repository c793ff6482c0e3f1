#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "engines/common.h"

namespace whimbrel::engines {
namespace {

[[noreturn]] void contradiction(const std::string& where, const std::string& what) {
  throw Error(ErrorCode::bad_manifest, where + ": " + what);
}

void check_sizes(const SessionOptions& options, const std::string& where) {
  if (options.batch < 1 || options.workers < 1) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: batch={}, workers={}, expected at least 1 of each; pass larger numbers", where, options.batch,
                            options.workers));
  }
  if (std::ranges::any_of(options.row_shape, [](std::int64_t axis) { return axis < 1; })) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: row shape {}, expected axes of at least 1; pass the shape of one window", where,
                            to_string(options.row_shape)));
  }
}

}  // namespace

Shape fixed_input_shape(const Shape& declared, const SessionOptions& options, const std::string& where) {
  check_sizes(options, where);
  const Shape& row = options.row_shape;
  Shape shape = declared;
  if (shape.empty()) shape.assign(row.size() + 1, -1);
  if (!row.empty() && shape.size() != row.size() + 1) {
    contradiction(where,
                  fmt::format("input is {}, expected a batch axis and then {}; set [input] to what the model was trained on",
                              to_string(shape), to_string(row)));
  }
  if (shape[0] != -1 && shape[0] != options.batch) {
    contradiction(
        where,
        fmt::format(
            "the batch axis of input {} is fixed, asked for {}; use batch {}, or export the model with a free first axis",
            to_string(shape), options.batch, shape[0]));
  }
  shape[0] = options.batch;
  for (std::size_t i = 1; i < shape.size(); ++i) {
    if (row.empty()) {
      if (shape[i] != -1) continue;
      contradiction(
          where, fmt::format("axis {} of input {} is free, expected a size; describe the window in the manifest's [input]", i,
                             to_string(declared)));
    }
    if (shape[i] != -1 && shape[i] != row[i - 1]) {
      contradiction(where,
                    fmt::format("a row of input {} is not {}, which is what the manifest's front end makes; correct [input]",
                                to_string(declared), to_string(row)));
    }
    shape[i] = row[i - 1];
  }
  return shape;
}

void check_inputs(const std::vector<TensorInfo>& inputs, const std::string& where) {
  if (inputs.size() != 1) {
    std::vector<std::string> names;
    for (const auto& input : inputs) names.push_back(input.name);
    contradiction(where, fmt::format("the model has {} inputs ({}), expected 1; export it with the others fixed", inputs.size(),
                                     fmt::join(names, ", ")));
  }
  if (inputs[0].element_type != "float32") {
    contradiction(where, fmt::format("input '{}' is {}, expected float32; export the model with a float32 input",
                                     inputs[0].name, inputs[0].element_type));
  }
}

void check_output(const TensorInfo& output, const SessionOptions& options, const std::string& where) {
  if (options.any_outputs) return;
  if (output.element_type != "float32") {
    contradiction(where, fmt::format("output '{}' is {}, expected float32; name only float32 outputs in [output]", output.name,
                                     output.element_type));
  }
  if (std::ranges::find(output.shape, -1) != output.shape.end()) {
    contradiction(where,
                  fmt::format("output '{}' is {}: its size depends on the data, expected a fixed one; leave it out of [output]",
                              output.name, to_string(output.shape)));
  }
  if (output.shape.empty() || output.shape[0] != options.batch) {
    contradiction(where, fmt::format("output '{}' is {}, expected [{}, ...]: one row per window; leave it out of [output]",
                                     output.name, to_string(output.shape), options.batch));
  }
}

std::vector<std::size_t> pick_outputs(const std::vector<std::vector<std::string>>& names,
                                      const std::vector<std::string>& wanted, const std::string& where) {
  std::vector<std::size_t> picked;
  for (const auto& name : wanted) {
    const auto found =
        std::ranges::find_if(names, [&](const auto& aliases) { return std::ranges::find(aliases, name) != aliases.end(); });
    if (found == names.end()) {
      std::vector<std::string> known;
      for (const auto& aliases : names) known.push_back(aliases.front());
      contradiction(where, fmt::format("no output '{}', the model has: {}; correct [output] in the manifest", name,
                                       fmt::join(known, ", ")));
    }
    picked.push_back(static_cast<std::size_t>(found - names.begin()));
  }
  if (wanted.empty()) {
    for (std::size_t i = 0; i < names.size(); ++i) picked.push_back(i);
  }
  return picked;
}

std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    if (c != '\n' && c != '\r' && c != '\t' && c != ' ')
      line += c;
    else if (!line.empty() && line.back() != ' ')
      line += ' ';
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

std::string where_of(EngineKind kind, const std::filesystem::path& model) {
  return fmt::format("{}: {}", to_string(kind), model.string());
}

}  // namespace whimbrel::engines
