// One open recording: decoded, cut into windows, and each window turned into what every distinct front end of the run makes of
// it.
#pragma once

#include <memory>
#include <vector>

#include "pipeline/ensemble.h"
#include "pipeline/formats.h"
#include "pipeline/scheduler.h"
#include "whimbrel/audio.h"

namespace whimbrel {

/// Not thread-safe; passed from worker to worker.
class RecordingSource {
 public:
  /// @throws Error{bad_recording} and others as WindowStream
  RecordingSource(const Ensemble& ensemble, std::size_t recording, const RecordingName& name);

  /// Up to `count` windows more; fewer only at the end of the recording. Adds the time it took to `times`.
  /// @param members  who scores them; null: all
  std::vector<WindowPtr> read(std::size_t count, const std::shared_ptr<const MemberSet>& members, StageTimes& times);

  std::size_t recording() const { return recording_; }
  const WindowStream& stream() const { return stream_; }

 private:
  std::vector<bool> front_ends_for(const MemberSet* members) const;

  const Ensemble& ensemble_;
  std::size_t recording_;
  WindowStream stream_;
  std::vector<std::unique_ptr<MelFrontEnd>> mels_;  // per front end; null for waveforms
};

}  // namespace whimbrel
