#include "pipeline/member_runner.h"

#include <algorithm>

namespace whimbrel {

MemberRunner::MemberRunner(const Ensemble& ensemble, const Member& member)
    : ensemble_(ensemble), member_(member), runner_(member.session->make_runner()) {}

std::vector<std::vector<float>> MemberRunner::run(std::span<const WindowPtr> windows) {
  fill_input(windows);
  runner_->run();
  std::vector<std::vector<float>> rows;
  for (std::size_t place = 0; place < windows.size(); ++place) rows.push_back(row(place));
  return rows;
}

void MemberRunner::fill_input(std::span<const WindowPtr> windows) {
  const auto input = runner_->input();
  const auto& manifest = member_.manifest;
  const std::size_t planes = manifest.kind == InputKind::mel ? static_cast<std::size_t>(manifest.channels) : 1;
  auto at = input.begin();
  for (const auto& window : windows) {
    const auto& feature = window->features[member_.front_end];
    for (std::size_t p = 0; p < planes; ++p) at = std::copy(feature.begin(), feature.end(), at);
  }
  std::fill(at, input.end(), 0.0F);
}

std::vector<float> MemberRunner::row(std::size_t place) const {
  const auto part = [&](std::size_t output, std::size_t size) { return runner_->output(output).subspan(place * size, size); };
  const std::size_t classes = ensemble_.layout.classes;
  const auto scores = part(0, classes);
  std::vector<float> row(scores.begin(), scores.end());
  activate(member_.manifest, row);
  std::size_t output = 1;
  if (member_.frames > 0) append_frames(part(output++, classes * member_.frames), row);
  if (member_.embedding > 0) {
    const auto embedding = part(output, member_.embedding);
    row.insert(row.end(), embedding.begin(), embedding.end());
  }
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
