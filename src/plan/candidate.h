// One form, engine and batch under measurement: a process, and what it has answered so far.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "plan/row_process.h"
#include "whimbrel/plan.h"

namespace whimbrel::plan {

/// What was measured with so many workers.
struct WorkersMeasured {
  double pilot_per_s = 0;
  std::int64_t peak_rss_bytes = 0;
  std::vector<double> windows_per_s;  // one a round
};

class Candidate {
 public:
  /// @param workers  numbers of workers to measure with, ascending
  Candidate(std::size_t form, const ModelForm& files, EngineKind engine, int batch, std::vector<int> workers)
      : form_(form), files_(files), engine_(engine), batch_(batch), workers_(std::move(workers)) {}

  std::size_t form() const { return form_; }
  EngineKind engine() const { return engine_; }
  int batch() const { return batch_; }
  const std::string& error() const { return error_; }
  bool is_good() const { return error_.empty(); }
  bool is_open() const { return process_ != nullptr; }
  std::int64_t memory_bytes() const { return memory_bytes_; }
  /// Of a first short slice with most workers.
  double pilot_per_s() const { return measured_.empty() ? 0 : measured_.rbegin()->second.pilot_per_s; }
  const std::vector<float>& outputs() const { return outputs_; }

  // Each of these does nothing once something failed: error() then says what. @throws Error{cancelled}

  /// Starts the process, opens the session and runs a first slice for each number of workers.
  void open(const BenchOptions& options);
  /// Measures latency, and throughput with each number of workers.
  void measure_round(double seconds);
  /// Runs `rows` rows of the file `inputs`.
  void run_on(const std::filesystem::path& inputs, std::int64_t rows, const std::filesystem::path& to);
  void close() { process_.reset(); }

  /// A row for each number of workers, without what needs the others.
  std::vector<BenchRow> rows() const;

 private:
  template <class F>
  void guarded(F&& body);

  std::size_t form_;
  const ModelForm& files_;
  EngineKind engine_;
  int batch_;
  std::vector<int> workers_;

  std::unique_ptr<RowProcess> process_;
  std::string error_;
  bool was_open_ = false;
  double start_s_ = 0;
  double first_s_ = 0;
  std::int64_t memory_bytes_ = 0;
  std::map<int, WorkersMeasured> measured_;
  std::vector<double> latencies_ms_;
  std::vector<float> outputs_;
};

}  // namespace whimbrel::plan
