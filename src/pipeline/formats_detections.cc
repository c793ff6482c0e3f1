#include "pipeline/formats_detections.h"

#include <fmt/format.h>

#include <map>
#include <memory>
#include <set>

#include "pipeline/formats_text.h"
#include "whimbrel/io.h"

namespace whimbrel {
namespace {

class Detections : public OutputFormat {
 public:
  Detections(const DetectionLayout& layout, const FormatContext& context) : layout_(layout), context_(context) {}

  void begin_recording(const RecordingName& recording) override { recording_ = recording; }

  void detection(const Detection& detection) override {
    const int rate = context_.grid.sample_rate_hz;
    const DetectionLine line{.recording = recording_,
                             .label = context_.labels[detection.label],
                             .score = detection.confidence,
                             .number = ++number_,
                             .start_s = seconds_text(detection.start, rate),
                             .end_s = seconds_text(detection.end, rate),
                             .duration_s = seconds_text(detection.end - detection.start, rate),
                             .start_time = time_text(detection.start),
                             .end_time = time_text(detection.end)};
    text_.clear();
    layout_.append_line(text_, context_, line);
    if (has_times()) layout_.append_times(text_, line);
    text_ += layout_.line_end;
    file_->write(text_);
  }

  bool lists_detections() const override { return true; }

 protected:
  void open(const std::filesystem::path& path) {
    file_ = std::make_unique<AtomicFile>(path);
    number_ = 0;
    if (layout_.header.empty()) return;
    file_->write(layout_.header);
    if (has_times()) file_->write(layout_.time_header);
    file_->write("\n");
  }

  const DetectionLayout& layout_;
  const FormatContext context_;
  std::unique_ptr<AtomicFile> file_;

 private:
  bool has_times() const { return context_.absolute_time && layout_.append_times != nullptr; }

  std::string time_text(std::int64_t at) const {
    return has_times() ? absolute_time_text(recording_, at, context_.grid.sample_rate_hz) : "";
  }

  RecordingName recording_;
  std::int64_t number_ = 0;
  std::string text_;
};

class OneFile : public Detections {
 public:
  OneFile(const DetectionLayout& layout, const FormatContext& context) : Detections(layout, context) { open(path()); }

  void end_recording() override {}
  void finish() override { file_->commit(); }
  std::vector<std::filesystem::path> files() const override { return {path()}; }

 private:
  std::filesystem::path path() const { return context_.out_dir / layout_.file; }
};

class FilePerRecording : public Detections {
 public:
  using Detections::Detections;

  void check_recordings(std::span<const RecordingName> recordings) const override {
    std::map<std::filesystem::path, const RecordingName*> owners;
    std::set<std::filesystem::path> folders;
    for (const auto& recording : recordings) {
      const auto path = mirrored_path(context_.out_dir, recording, layout_.file).lexically_normal();
      if (folders.insert(path.parent_path()).second) check_inside(context_.out_dir, recording);
      const auto [owner, first] = owners.emplace(path, &recording);
      if (first) continue;
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("--format {}: {} and {} would both write {}, expected one output a recording; give the folder above "
                      "both, or run them into two output folders",
                      layout_.name, owner->second->path.string(), recording.path.string(), path.string()));
    }
  }

  void begin_recording(const RecordingName& recording) override {
    Detections::begin_recording(recording);
    open(mirrored_path(context_.out_dir, recording, layout_.file));
  }

  void end_recording() override {
    file_->commit();
    file_.reset();
  }

  void finish() override { file_.reset(); }
  std::vector<std::filesystem::path> files() const override { return {context_.out_dir / fmt::format("*{}", layout_.file)}; }
};

}  // namespace

std::unique_ptr<OutputFormat> make_detections(const DetectionLayout& layout, const FormatContext& context) {
  if (layout.per_recording) return std::make_unique<FilePerRecording>(layout, context);
  return std::make_unique<OneFile>(layout, context);
}

}  // namespace whimbrel
