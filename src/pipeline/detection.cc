#include "pipeline/detection.h"

#include <algorithm>
#include <array>
#include <bit>
#include <queue>
#include <span>
#include <utility>

namespace whimbrel {
namespace {

/// A spool holds floats; these are a detection's bits.
using Packed = std::array<float, sizeof(Detection) / sizeof(float)>;
static_assert(sizeof(Packed) == sizeof(Detection));

/// So many detections of a part are read at a time.
constexpr std::size_t kReadAhead = 256;

/// What is next of one sorted part.
struct Cursor {
  std::int64_t position;
  std::size_t left;
  std::vector<float> block;
  std::size_t at = 0;

  bool next(const Spool& spool, Detection& detection) {
    constexpr std::size_t kSize = std::tuple_size_v<Packed>;
    if (at == block.size()) {
      const std::size_t count = std::min(left, kReadAhead);
      if (count == 0) return false;
      block.resize(count * kSize);
      spool.read(position, block);
      position += static_cast<std::int64_t>(block.size());
      left -= count;
      at = 0;
    }
    Packed packed;
    std::copy_n(block.begin() + static_cast<std::ptrdiff_t>(at), kSize, packed.begin());
    at += kSize;
    detection = std::bit_cast<Detection>(packed);
    return true;
  }
};

}  // namespace

bool listed_before(const Detection& a, const Detection& b) {
  if (a.start != b.start) return a.start < b.start;
  if (a.confidence != b.confidence) return a.confidence > b.confidence;
  return a.label != b.label ? a.label < b.label : a.end < b.end;
}

DetectionStore::DetectionStore(std::size_t classes, std::optional<std::int64_t> merge_gap, const std::filesystem::path& folder,
                               std::size_t most_in_memory)
    : merge_gap_(merge_gap), folder_(folder), most_in_memory_(most_in_memory), open_(merge_gap ? classes : 0) {}

void DetectionStore::add(const Detection& detection) {
  if (!merge_gap_) {
    keep(detection);
    return;
  }
  auto& open = open_[detection.label];
  if (open && detection.start - open->end <= *merge_gap_) {
    open->end = std::max(open->end, detection.end);
    open->confidence = std::max(open->confidence, detection.confidence);
    return;
  }
  if (open) keep(*open);
  open = detection;
}

void DetectionStore::drain(const TakeDetection& take) {
  for (auto& open : open_) {
    if (open) keep(*open);
    open.reset();
  }
  if (parts_.empty()) {
    std::sort(kept_.begin(), kept_.end(), listed_before);
    for (const auto& detection : kept_) take(detection);
    kept_.clear();
    return;
  }
  sort_out();
  merge_parts(take);
  parts_.clear();
  spool_.reset();
}

void DetectionStore::keep(const Detection& detection) {
  kept_.push_back(detection);
  if (kept_.size() >= most_in_memory_) sort_out();
}

void DetectionStore::sort_out() {
  if (kept_.empty()) return;
  std::sort(kept_.begin(), kept_.end(), listed_before);
  std::vector<float> packed;
  packed.reserve(kept_.size() * std::tuple_size_v<Packed>);
  for (const auto& detection : kept_) {
    const auto bits = std::bit_cast<Packed>(detection);
    packed.insert(packed.end(), bits.begin(), bits.end());
  }
  if (!spool_) spool_.emplace(folder_);
  parts_.push_back({spool_->append(packed), kept_.size()});
  kept_.clear();
}

void DetectionStore::merge_parts(const TakeDetection& take) {
  std::vector<Cursor> cursors;
  for (const auto& part : parts_) cursors.push_back({part.position, part.left, {}, 0});
  using Head = std::pair<Detection, std::size_t>;
  const auto later = [](const Head& a, const Head& b) { return listed_before(b.first, a.first); };
  std::priority_queue<Head, std::vector<Head>, decltype(later)> heads(later);
  const auto refill = [&](std::size_t cursor) {
    Detection detection;
    if (cursors[cursor].next(*spool_, detection)) heads.emplace(detection, cursor);
  };
  for (std::size_t i = 0; i < cursors.size(); ++i) refill(i);
  while (!heads.empty()) {
    const auto [detection, cursor] = heads.top();
    heads.pop();
    take(detection);
    refill(cursor);
  }
}

}  // namespace whimbrel
