// A detection, and where those of a recording wait until they can be listed in order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "whimbrel/io.h"

namespace whimbrel {

/// A class was found from `start` to `end`: samples of the recording at the grid's rate.
struct Detection {
  std::int64_t start = 0;
  std::int64_t end = 0;
  std::uint32_t label = 0;  // index
  float confidence = 0;

  bool operator==(const Detection&) const = default;
};

using TakeDetection = std::function<void(const Detection&)>;

/// The order in which detections are listed: by start, then confidence from high to low, then label.
bool listed_before(const Detection& a, const Detection& b);

/// Detections of one recording after the other, merged and sorted. Memory does not grow with their number: what is too much
/// waits, sorted in parts, on disk. Not thread-safe.
class DetectionStore {
 public:
  static constexpr std::size_t kMostInMemory = std::size_t{1} << 16;

  /// @param merge_gap  samples; detections of a class with no more between them become one, from the start of the first to the
  /// end of the last, with the highest confidence of them. Absent: none does.
  DetectionStore(std::size_t classes, std::optional<std::int64_t> merge_gap, const std::filesystem::path& folder,
                 std::size_t most_in_memory = kMostInMemory);

  /// Those of one class come in the order of their starts.
  void add(const Detection& detection);

  /// Hands out what was added since the last time, in order, and forgets it.
  void drain(const TakeDetection& take);

 private:
  struct Part {  // of the spool, sorted
    std::int64_t position;
    std::size_t left;
  };

  void keep(const Detection& detection);
  void sort_out();
  void merge_parts(const TakeDetection& take);

  std::optional<std::int64_t> merge_gap_;
  std::filesystem::path folder_;
  std::size_t most_in_memory_;
  std::vector<std::optional<Detection>> open_;  // per class, while merging: the last one, which may still grow
  std::vector<Detection> kept_;
  std::optional<Spool> spool_;  // made when it is first needed
  std::vector<Part> parts_;
};

}  // namespace whimbrel
