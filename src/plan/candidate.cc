#include "plan/candidate.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "plan/statistics.h"
#include "whimbrel/io.h"

namespace whimbrel::plan {
namespace {

using Json = nlohmann::json;

constexpr double kPilot_s = 0.25;
constexpr double kShareOfLatency = 0.3;  // of a round; the rest is throughput

/// @throws Error{engine} with what the process said, and what ask() throws
Json ask(RowProcess& process, const Json& command) {
  const auto text = process.ask(command.dump(-1, ' ', false, Json::error_handler_t::replace));
  auto answer = Json::parse(text, nullptr, false);
  if (!answer.is_object()) throw Error(ErrorCode::engine, "the process of this row answered \"" + text.substr(0, 80) + "\"");
  if (answer.contains("error")) throw Error(ErrorCode::engine, answer["error"].get<std::string>());
  return answer;
}

}  // namespace

template <class F>
void Candidate::guarded(F&& body) {
  if (!error_.empty()) return;
  try {
    body();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::cancelled) throw;
    error_ = error.what();
    process_.reset();
  }
}

void Candidate::open(const BenchOptions& options) {
  guarded([&] {
    process_ = std::make_unique<RowProcess>(options.program, options.cancel);
    const auto opened = ask(*process_, {{"do", "open"},
                                        {"model", files_.reference.string()},
                                        {"engine", to_string(engine_)},
                                        {"batch", batch_},
                                        {"workers", workers_.back()}});
    memory_bytes_ = opened.at("peak_rss_bytes").get<std::int64_t>();
    if (!was_open_) {
      // Both clocks are the machine's monotonic one.
      const auto began = std::chrono::nanoseconds(process_->started().time_since_epoch()).count();
      start_s_ = 1e-9 * static_cast<double>(opened.at("opened_ns").get<std::int64_t>() - began);
      first_s_ = opened.at("first_s").get<double>();
    }
    for (const int workers : workers_) {  // ascending, so that each finds the peak memory of no more than itself
      const auto slice = ask(*process_, {{"do", "throughput"}, {"workers", workers}, {"seconds", kPilot_s}});
      memory_bytes_ = slice.at("peak_rss_bytes").get<std::int64_t>();
      if (was_open_) continue;
      measured_[workers].pilot_per_s = slice.at("windows_per_s").get<double>();
      measured_[workers].peak_rss_bytes = memory_bytes_;
    }
    was_open_ = true;
  });
}

void Candidate::measure_round(double seconds) {
  guarded([&] {
    const auto ms =
        ask(*process_, {{"do", "latency"}, {"seconds", kShareOfLatency * seconds}}).at("ms").get<std::vector<double>>();
    latencies_ms_.insert(latencies_ms_.end(), ms.begin(), ms.end());
    for (const int workers : workers_) {
      const auto slice =
          ask(*process_, {{"do", "throughput"}, {"workers", workers}, {"seconds", (1 - kShareOfLatency) * seconds}});
      measured_[workers].windows_per_s.push_back(slice.at("windows_per_s").get<double>());
    }
  });
}

void Candidate::run_on(const std::filesystem::path& inputs, std::int64_t rows, const std::filesystem::path& to) {
  guarded([&] {
    ask(*process_, {{"do", "outputs"}, {"inputs", inputs.string()}, {"rows", rows}, {"to", to.string()}});
    const auto bytes = read_file(to);
    outputs_.resize(bytes.size() / sizeof(float));
    std::memcpy(outputs_.data(), bytes.data(), outputs_.size() * sizeof(float));
    std::error_code ignored;
    std::filesystem::remove(to, ignored);
  });
}

std::vector<BenchRow> Candidate::rows() const {
  std::vector<BenchRow> rows;
  for (const int workers : workers_) {
    BenchRow row{.form = form_, .engine = engine_, .batch = batch_, .workers = workers, .error = error_};
    const auto found = measured_.find(workers);
    if (error_.empty() && found != measured_.end() && !found->second.windows_per_s.empty()) {
      row.windows_per_s = median_of(found->second.windows_per_s);
      row.latency_p50_ms = percentile(latencies_ms_, 0.5);
      row.latency_p90_ms = percentile(latencies_ms_, 0.9);
      row.latency_p99_ms = percentile(latencies_ms_, 0.99);
      row.start_s = start_s_;
      row.first_inference_s = first_s_;
      row.peak_rss_bytes = found->second.peak_rss_bytes;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace whimbrel::plan
