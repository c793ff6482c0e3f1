#include "pipeline/member_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace whimbrel {

namespace {

bool is_finite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
}

}  // namespace

BatchRows MemberRunner::run(Windows windows) {
  auto batch = attempt(runner_, *member_.session, to_string(member_.engine), windows);
  if (!batch.reason.empty()) retry(windows, batch);
  return batch;
}

/// Rows from one engine, with its words for those that are missing.
BatchRows MemberRunner::attempt(std::unique_ptr<Runner>& runner, Session& session, std::string_view engine,
                                Windows windows) const {
  BatchRows batch{.rows = std::vector<std::vector<float>>(windows.size())};
  const auto threw = [&](std::string words) {
    runner.reset();  // what it holds now, nobody knows
    batch = {std::vector<std::vector<float>>(windows.size()), std::move(words), Fallback::Fault::threw};
  };
  try {
    if (!runner) runner = session.make_runner();
    fill_input(windows, runner->input());
    runner->run();
    for (std::size_t place = 0; place < windows.size(); ++place) batch.rows[place] = row(*runner, place);
    if (std::ranges::none_of(batch.rows, &std::vector<float>::empty)) return batch;
    batch.reason = fmt::format("{} gave a value that is not finite", engine);
    batch.fault = Fallback::Fault::not_finite;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::bad_manifest || error.code() == ErrorCode::internal) throw;
    threw(error.what());
  } catch (const std::exception& error) {
    threw(fmt::format("{}: {}", engine, error.what()));
  }
  return batch;
}

/// Fills the missing rows from the other engine where there is one.
void MemberRunner::retry(Windows windows, BatchRows& batch) {
  const auto& other = fallback_->other();
  fallback_->warn(batch.fault, batch.reason);
  BatchRows again{.reason = other.why_none};
  if (other.session) again = attempt(other_, *other.session, other.engine, windows);
  bool used = false;
  for (std::size_t i = 0; i < again.rows.size(); ++i) {
    if (!batch.rows[i].empty() || again.rows[i].empty()) continue;
    batch.rows[i] = std::move(again.rows[i]);
    used = true;
  }
  if (used) fallback_->count_batch();
  batch.reason = fmt::format("model {}: {}; {}", member_.manifest.name, batch.reason, again.reason);
}

void MemberRunner::fill_input(Windows windows, std::span<float> input) const {
  const auto& manifest = member_.manifest;
  const std::size_t planes = manifest.kind == InputKind::mel ? static_cast<std::size_t>(manifest.channels) : 1;
  auto at = input.begin();
  for (const auto& window : windows) {
    const auto& feature = window->features[member_.front_end];
    for (std::size_t p = 0; p < planes; ++p) at = std::copy(feature.begin(), feature.end(), at);
  }
  std::fill(at, input.end(), 0.0F);
}

/// Empty where a value is not finite: looked for before the activation, which would make a 1 of an infinity.
std::vector<float> MemberRunner::row(const Runner& runner, std::size_t place) const {
  const auto part = [&](std::size_t output, std::size_t size) { return runner.output(output).subspan(place * size, size); };
  const std::size_t classes = ensemble_.layout.classes;
  const auto scores = part(0, classes);
  std::size_t output = 1;
  std::span<const float> frames, embedding;
  if (member_.frames > 0) frames = part(output++, classes * member_.frames);
  if (member_.embedding > 0) embedding = part(output, member_.embedding);
  if (!is_finite(scores) || !is_finite(frames) || !is_finite(embedding)) return {};
  std::vector<float> row(scores.begin(), scores.end());
  activate(member_.manifest, row);
  if (!frames.empty()) append_frames(frames, row);
  row.insert(row.end(), embedding.begin(), embedding.end());
  return row;
}

void MemberRunner::append_frames(std::span<const float> logits, std::vector<float>& row) const {
  const std::size_t classes = ensemble_.layout.classes;
  const bool class_last = member_.manifest.frame_axis == FrameAxis::class_last;
  const std::size_t from = row.size();
  row.resize(from + logits.size());
  std::vector<float> frame(classes);  // softmax runs over the classes of one frame
  for (std::size_t f = 0; f < member_.frames; ++f) {
    for (std::size_t c = 0; c < classes; ++c) frame[c] = logits[class_last ? f * classes + c : c * member_.frames + f];
    activate(member_.manifest, frame);
    for (std::size_t c = 0; c < classes; ++c) row[from + c * member_.frames + f] = frame[c];
  }
}

}  // namespace whimbrel
