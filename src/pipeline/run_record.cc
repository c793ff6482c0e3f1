#include "pipeline/run_record.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "whimbrel/io.h"

namespace whimbrel {
namespace {

using Json = nlohmann::ordered_json;

Json cpu_json() {
  const CpuInfo cpu = cpu_info();
  return {{"model", cpu.model},
          {"isa", cpu.isa},
          {"cores_online", cpu.cores_online},
          {"cores_allowed", cpu.cores_allowed},
          {"integer_path", cpu.integer_path},
          {"front_end_simd", front_end_simd_target()}};
}

/// What was done after inference, from manifest and options together.
Json post_json(const PostProcess& post) {
  Json json = {{"smooth", post.smooth},
               {"prior", to_string(post.prior)},
               {"prior_power", post.prior_power},
               {"species_list", post.species_list.string()},
               {"thresholds", post.thresholds.string()},
               {"tta_shifts_s", post.tta_shifts_s}};
  if (post.merge_gap_s) json["merge_gap_s"] = *post.merge_gap_s;
  if (post.events) {
    json["events"] = {{"median_frames", post.events->median_frames}, {"high", post.events->high}, {"low", post.events->low}};
  }
  return json;
}

Json settings_json(const PredictOptions& options, const PredictResult& result) {
  std::error_code unknown;
  return {{"folder", std::filesystem::current_path(unknown).string()},
          {"engine", options.engine},
          {"workers", result.workers},
          {"window_hop_s", options.window_hop_s},
          {"formats", options.formats},
          {"threshold", options.threshold},
          {"top_k", options.top_k},
          {"mean", to_string(options.mean)},
          {"embeddings", options.embeddings},
          {"absolute_time", options.absolute_time},
          {"postprocess", post_json(result.post)},
          {"sample_submission", options.sample_submission.string()},
          {"shard", {options.shard_index, options.shard_count}}};
}

Json member_json(const MemberResult& member) {
  if (!member.opened) return {{"name", member.name}, {"file", member.model_path.string()}, {"opened", false}};
  Json json = {
      {"name", member.name},     {"file", member.model_path.string()},          {"hash_xxh3_128", member.model_hash},
      {"engine", member.engine}, {"engine_version", member.engine_version},     {"batch", member.batch},
      {"weight", member.weight}, {"probe_difference", member.probe_difference}, {"rows_independent", member.rows_independent}};
  if (member.shift_s != 0) json["shift_s"] = member.shift_s;
  return json;
}

/// What a time budget did to the run.
Json budget_json(const PredictOptions& options, const PredictResult& result) {
  Json changes = Json::array();
  for (const auto& change : result.budget_changes) {
    changes.push_back({{"model", change.member},
                       {"name", result.members.at(change.member).name},
                       {"what", change.dropped ? "dropped" : "returned"},
                       {"at_s", change.at_s},
                       {"windows_read", change.windows_read},
                       {"windows_expected", change.windows_expected}});
  }
  return {{"budget_s", options.budget_s},
          {"ran_out", result.out_of_time},
          {"rows_filled", result.rows_filled},
          {"changes", changes}};
}

Json recording_json(const RecordingResult& recording) {
  Json row = {{"path", recording.path.string()}, {"state", to_string(recording.state)}, {"windows", recording.windows}};
  if (!recording.error.empty()) row["error"] = recording.error;
  if (recording.sample_rate_hz > 0) {
    row["decoded_s"] = recording.decoded_s;
    row["sample_rate_hz"] = recording.sample_rate_hz;
    row["channels"] = recording.channels;
    row["codec"] = recording.codec;
  }
  if (recording.began) {
    row["recorded_at"] = rfc3339(*recording.began);
    row["recorded_at_from"] = to_string(recording.began->source);
  }
  if (recording.resumed) row["resumed"] = true;
  if (recording.filled > 0) row["windows_filled"] = recording.filled;
  if (recording.non_finite_samples > 0) row["non_finite_samples"] = recording.non_finite_samples;
  return row;
}

Json timeline_json(const StageTimeline& timeline) {
  return {{"bucket_s", timeline.bucket_s},
          {"decode_s", timeline.decode_s},
          {"front_end_s", timeline.front_end_s},
          {"infer_s", timeline.infer_s},
          {"write_s", timeline.write_s}};
}

Json summary_json(const PredictResult& result) {
  const double busy = result.wall_s - result.stages.start_s;
  return {{"recordings", result.recordings.size()},
          {"done", result.count(RecordingState::done)},
          {"partial", result.count(RecordingState::partial)},
          {"failed", result.count(RecordingState::failed)},
          {"cancelled", result.count(RecordingState::cancelled)},
          {"windows", result.windows},
          {"windows_resumed", result.windows_resumed},
          {"rows_filled", result.rows_filled},
          {"wall_s", result.wall_s},
          {"cpu_s", result.cpu_s},
          {"windows_per_s", busy > 0 ? static_cast<double>(result.windows - result.windows_resumed) / busy : 0.0},
          {"peak_rss_bytes", result.peak_rss_bytes},
          {"stopped_early", result.cancelled},
          {"timeline", timeline_json(result.timeline)},
          {"stages",
           {{"start_s", result.stages.start_s},
            {"decode_s", result.stages.decode_s},
            {"front_end_s", result.stages.front_end_s},
            {"infer_s", result.stages.infer_s},
            {"write_s", result.stages.write_s},
            {"wait_s", result.stages.wait_s}}}};
}

/// A run may have other windows than were planned: rates compare.
Json plan_json(const Expectation& expected, const PredictResult& result) {
  const auto windows = static_cast<double>(result.windows);
  const double expected_s = windows * expected.wall_s / static_cast<double>(std::max<std::int64_t>(expected.windows, 1));
  return {{"expected_wall_s", expected.wall_s},
          {"wall_margin_s", expected.wall_margin_s},
          {"expected_windows", expected.windows},
          {"expected_score", expected.score},
          {"actual_wall_s", result.wall_s},
          {"actual_windows", result.windows},
          {"actual_by_expected", expected_s > 0 ? Json(result.wall_s / expected_s) : Json(nullptr)}};
}

}  // namespace

std::vector<MemberResult> describe_members(const Ensemble& ensemble) {
  std::vector<MemberResult> described;
  for (const auto& member : ensemble.members) {
    described.push_back({.name = member.manifest.name,
                         .model_path = member.manifest.model_path,
                         .model_hash = member.hash,
                         .engine = std::string(to_string(member.engine)),
                         .engine_version = engine_status(member.engine).version,
                         .batch = member.batch,
                         .weight = member.weight,
                         .shift_s = member.shift_s,
                         .opened = member.session != nullptr,
                         .probe_difference = member.check.probe_difference,
                         .rows_independent = member.check.rows_independent});
  }
  return described;
}

std::string run_record(const PredictOptions& options, const PredictResult& result) {
  Json record = {{"whimbrel", WHIMBREL_VERSION}, {"cpu", cpu_json()}, {"settings", settings_json(options, result)}};
  for (const auto& member : result.members) record["models"].push_back(member_json(member));
  record["labels"] = result.labels;
  record["summary"] = summary_json(result);
  if (options.budget_s > 0) record["budget"] = budget_json(options, result);
  if (options.expected) record["plan"] = plan_json(*options.expected, result);
  record["recordings"] = Json::array();
  for (const auto& recording : result.recordings) record["recordings"].push_back(recording_json(recording));
  // Paths may hold bytes that are not UTF-8; JSON may not.
  return record.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::filesystem::path write_run_record(const PredictOptions& options, const PredictResult& result) {
  const auto path = options.out_dir / "run.json";
  AtomicFile file(path);
  file.write(run_record(options, result));
  file.commit();
  return path;
}

}  // namespace whimbrel
