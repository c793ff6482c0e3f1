#include "plan/stand_ins.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>

#include "whimbrel/engines.h"
#include "whimbrel/io.h"
#include "whimbrel/quantize.h"
#include "whimbrel/score.h"

namespace whimbrel {

namespace fs = std::filesystem;

std::string_view to_string(Metric metric) {
  switch (metric) {
    case Metric::macro_roc_auc:
      return "macro_roc_auc";
    case Metric::padded_cmap:
      return "padded_cmap";
    case Metric::macro_ap:
      return "macro_ap";
    case Metric::micro_ap:
      return "micro_ap";
  }
  return "macro_roc_auc";
}

double metric_value(Metric metric, std::span<const float> scores, std::span<const std::uint8_t> truth, std::size_t classes) {
  if (metric == Metric::micro_ap) return average_precision(scores, truth).value_or(0);
  const std::size_t rows = scores.size() / classes;
  const std::size_t padding = metric == Metric::padded_cmap ? 5 : 0;
  std::vector<float> column(rows + padding, 1.0F);
  std::vector<std::uint8_t> positive(rows + padding, 1);
  double sum = 0;
  std::size_t scored = 0;
  for (std::size_t c = 0; c < classes; ++c) {
    for (std::size_t r = 0; r < rows; ++r) {
      column[r] = scores[r * classes + c];
      positive[r] = truth[r * classes + c];
    }
    const auto value = metric == Metric::macro_roc_auc ? roc_auc(column, positive) : average_precision(column, positive);
    sum += value.value_or(0);
    scored += value ? 1 : 0;
  }
  if (scored == 0) throw Error(ErrorCode::invalid_argument, "no class has both positive and negative rows");
  return sum / static_cast<double>(scored);
}

double duration_from_string(std::string_view text) {
  const auto bad = [&] {
    return Error(ErrorCode::invalid_argument, fmt::format("duration \"{}\", expected such as 2h, 1h30m, 90min or 45s", text));
  };
  static const std::map<std::string_view, double> kUnits = {{"h", 3600}, {"min", 60},   {"m", 60},
                                                            {"s", 1},    {"ms", 0.001}, {"", 1}};
  double total = 0, last = 1e9;
  const char *at = text.data(), *end = at + text.size();
  while (at != end) {
    double value = 0;
    const auto parsed = std::from_chars(at, end, value, std::chars_format::fixed);
    if (parsed.ec != std::errc() || !(value >= 0)) throw bad();
    const char* word = parsed.ptr;
    at = std::find_if(word, end, [](char c) { return c < 'a' || c > 'z'; });
    const auto unit = kUnits.find({word, static_cast<std::size_t>(at - word)});
    if (unit == kUnits.end() || unit->second >= last) throw bad();
    last = unit->second;
    total += value * unit->second;
  }
  if (!(total > 0) || !std::isfinite(total)) throw bad();
  return total;
}

std::int64_t window_count(const WindowGrid& grid, std::int64_t samples) {
  if (samples <= 0) return 0;
  if (samples <= grid.window_samples) return 1;
  const std::int64_t full = (samples - grid.window_samples) / grid.hop_samples + 1;
  const std::int64_t covered = (full - 1) * grid.hop_samples + grid.window_samples;
  const auto left = static_cast<double>(std::min(samples - covered, samples - full * grid.hop_samples));
  return full + (left >= std::max(1.0, grid.min_signal * static_cast<double>(grid.window_samples)) ? 1 : 0);
}

std::vector<std::uint8_t> truth_of(const fs::path& path, const std::vector<std::string>& row_ids,
                                   const std::vector<std::string>& classes, double /*window_s*/) {
  const auto table = read_csv(path);
  const auto unknown = [&](const std::string& what) {
    return Error(ErrorCode::invalid_argument,
                 fmt::format("{}: {}; is this the truth of these recordings?", path.string(), what));
  };
  const std::size_t id_column = table.column("row_id");
  for (const auto& name : table.header) {
    if (name != "row_id" && std::ranges::find(classes, name) == classes.end())
      throw unknown(fmt::format("class \"{}\" is none of the models' {}", name, classes.size()));
  }
  std::vector<std::size_t> columns;
  for (const auto& name : classes) columns.push_back(table.column(name));
  std::map<std::string, std::size_t> at;
  for (std::size_t i = 0; i < row_ids.size(); ++i) at.emplace(row_ids[i], i);
  std::vector<std::uint8_t> truth(row_ids.size() * classes.size());
  std::set<std::string> given;
  for (const auto& row : table.rows) {
    const auto found = at.find(row[id_column]);
    if (found == at.end()) throw unknown(fmt::format("row \"{}\" is no window of the validation recordings", row[id_column]));
    given.insert(row[id_column]);
    for (std::size_t c = 0; c < classes.size(); ++c) {
      const auto& cell = row[columns[c]];
      if (cell != "0" && cell != "1") throw unknown(fmt::format("\"{}\" in column {}, expected 0 or 1", cell, classes[c]));
      truth[found->second * classes.size() + c] = cell == "1" ? 1 : 0;
    }
  }
  for (const auto& id : row_ids) {
    if (!given.contains(id)) throw unknown(fmt::format("no row \"{}\", expected one for each window", id));
  }
  return truth;
}

std::vector<ModelForm> find_forms(const Manifest& manifest) {
  const auto& model = manifest.model_path;
  for (const auto kind : all_engines()) {
    if (!engine_reads(kind, model) || !engine_status(kind).available) continue;
    const auto verdict = parse_verdict(model_remark(kind, model, kCertificateKey));
    if (!verdict) break;
    return {{manifest.path, "int8", model.parent_path() / fs::path(verdict->source).filename()}};
  }
  return {{manifest.path, "fp32", model}};
}

std::vector<fs::path> recordings_of(const std::vector<std::string>& inputs) {
  std::vector<fs::path> found;
  for (const auto& input : inputs) {
    if (fs::is_directory(input)) {
      for (const auto& entry : fs::recursive_directory_iterator(input)) {
        const auto& known = recording_extensions();
        if (entry.is_regular_file() && std::ranges::find(known, entry.path().extension().string()) != known.end())
          found.push_back(entry.path());
      }
    } else if (fs::exists(input)) {
      found.emplace_back(input);
    } else {
      throw Error(ErrorCode::not_found, fmt::format("{}: no such recording or folder", input));
    }
  }
  if (found.empty()) throw Error(ErrorCode::invalid_argument, fmt::format("no recordings in {}", inputs.at(0)));
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace whimbrel
