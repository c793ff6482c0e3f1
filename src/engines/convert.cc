// Model file -> OpenVINO IR: written into a folder of its own, compared with the source, and only then moved into place.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "engines/common.h"
#include "engines/openvino_api.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;

// Of an output's largest value. float32 sums in another order differ by 1e-5 and less; weights of 11 bits (FP16) by 1e-3 each,
// of which the errors of many layers add up.
constexpr double kTolerance = 1e-3;
constexpr double kTolerance_fp16 = 2e-2;
constexpr std::int64_t kBatchOfAFreeOne = 2;

void check_paths(const fs::path& model, const fs::path& xml, const ConvertOptions& options) {
  const auto refuse = [](ErrorCode code, const std::string& message) { throw Error(code, "convert: " + message); };
  std::error_code ignored;
  if (!fs::is_regular_file(model, ignored)) {
    refuse(ErrorCode::not_found,
           fmt::format("{}: no such file, expected a model to convert; correct the path", model.string()));
  }
  if (!engine_reads(EngineKind::openvino, model)) {
    refuse(ErrorCode::unsupported, fmt::format("{}: ending '{}', expected .onnx, .tflite or .xml; export the model to ONNX",
                                               model.string(), model.extension().string()));
  }
  check_model_files(model);
  if (xml.extension() != ".xml" || xml.stem().empty()) {
    refuse(ErrorCode::invalid_argument,
           fmt::format("output {}, expected a file name that ends in .xml; the .bin comes beside it", xml.string()));
  }
  if (options.batch < 0) {
    refuse(ErrorCode::invalid_argument, fmt::format("batch={}, expected at least 1, or 0 for a free one", options.batch));
  }
  if (fs::equivalent(model, xml, ignored)) {
    refuse(ErrorCode::invalid_argument, fmt::format("output {} is the model itself, expected another file", xml.string()));
  }
  for (const auto& path : {xml, fs::path(xml).replace_extension(".bin")}) {
    if (fs::is_directory(path, ignored)) {
      refuse(ErrorCode::invalid_argument, fmt::format("output {} is a folder, expected a file name", path.string()));
    }
    if (!options.replace && fs::exists(path, ignored)) {
      refuse(ErrorCode::invalid_argument,
             fmt::format("{} is there already, expected a new name; choose another, or allow it to be replaced (--force)",
                         path.string()));
    }
  }
}

/// A folder beside the output, gone at the end with what is still in it.
class Staging {
 public:
  explicit Staging(const fs::path& xml) : folder_(xml.has_parent_path() ? xml.parent_path() : fs::path(".")), xml_(xml) {
    std::error_code failed;
    made_ = fs::create_directories(folder_, failed);
    if (!failed) {
      std::string name = (folder_ / fmt::format(".{}.XXXXXX", xml.stem().string())).string();
      if (mkdtemp(name.data()) != nullptr)
        staged_ = name;
      else
        failed = std::error_code(errno, std::generic_category());
    }
    if (failed) {
      throw Error(ErrorCode::io,
                  fmt::format("convert: {}: {}, expected a folder that can be written", folder_.string(), failed.message()));
    }
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging() {
    std::error_code ignored;
    fs::remove_all(staged_, ignored);
    if (made_) fs::remove(folder_, ignored);  // unless something was moved into it
  }

  fs::path xml() const { return staged_ / xml_.filename(); }
  fs::path bin() const { return xml().replace_extension(".bin"); }

  /// An older .xml goes first and the new one comes last, so that no .xml ever stands beside the weights of another.
  void move_into_place() const {
    try {
      sync(xml());
      sync(bin());
      fs::remove(xml_);
      fs::rename(bin(), fs::path(xml_).replace_extension(".bin"));
      fs::rename(xml(), xml_);
    } catch (const fs::filesystem_error& e) {
      throw Error(ErrorCode::io,
                  fmt::format("convert: {}: {}, expected a folder that can be written", xml_.string(), e.code().message()));
    }
  }

 private:
  static void sync(const fs::path& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const bool failed = fd < 0 || (::fsync(fd) != 0 && errno != EINVAL);  // some file systems cannot, and say EINVAL
    const int reason = errno;
    if (fd >= 0) ::close(fd);
    if (failed) throw fs::filesystem_error("sync", path, std::error_code(reason, std::generic_category()));
  }

  fs::path folder_, staged_, xml_;
  bool made_ = false;
};

std::vector<std::vector<float>> answers(Session& session) {
  const auto runner = session.make_runner();
  std::ranges::copy(probe_input(element_count(session.input().shape)), runner->input().begin());
  runner->run();
  std::vector<std::vector<float>> outputs;
  for (std::size_t i = 0; i < session.outputs().size(); ++i) {
    const auto values = runner->output(i);
    outputs.emplace_back(values.begin(), values.end());
  }
  return outputs;
}

/// Fills in the result's differences. @throws Error{engine} beyond the tolerance
void compare(const std::vector<std::vector<float>>& expected, const std::vector<std::vector<float>>& found,
             const std::vector<TensorInfo>& outputs, double tolerance, const std::string& where, ConvertResult& result) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    double largest = 0, difference = 0;
    for (std::size_t k = 0; k < expected[i].size(); ++k) {
      largest = std::max(largest, std::abs(static_cast<double>(expected[i][k])));
      const double off = std::abs(static_cast<double>(expected[i][k]) - static_cast<double>(found[i].at(k)));
      difference = std::isfinite(off) ? std::max(difference, off) : HUGE_VAL;
    }
    const double allowed = tolerance * std::max(largest, 1e-9);
    if (difference > allowed) {
      throw Error(ErrorCode::engine,
                  fmt::format("{}: output '{}' of the converted model is off by {:.3g}, expected at most {:.3g} (largest value "
                              "{:.3g}); nothing was written{}",
                              where, outputs[i].name, difference, allowed, largest,
                              tolerance > kTolerance ? "; convert without FP16 weights" : ""));
    }
    result.largest_difference = std::max(result.largest_difference, difference);
    result.largest_value = std::max(result.largest_value, largest);
  }
}

/// @throws Error{bad_manifest}
void check_probe(Session& session, const ConvertOptions& options, const std::string& where) {
  if (options.probe.empty()) return;
  try {
    check_session(session, options.probe, options.probe_tolerance, where);
  } catch (const Error& e) {
    if (!options.fp16) throw;
    throw Error(e.code(),
                fmt::format("{}; weights were rounded to FP16: widen [probe] tolerance, or give the output a name of its "
                            "own, so that it gets a manifest of its own",
                            e.what()));
  }
}

}  // namespace

ConvertResult convert_model(const fs::path& model, const fs::path& xml, const ConvertOptions& options) {
  check_paths(model, xml, options);
  const std::string where = "convert: " + model.string();
  const Staging staging(xml);
  const auto written = engines::write_ir(model, staging.xml(), options);

  ConvertResult result{.xml = xml, .bin = fs::path(xml).replace_extension(".bin")};
  result.batch = written.input[0] == -1 ? 0 : written.input[0];
  result.quantized = written.quantized;
  // Two engines round 8-bit steps in different places; what conversion did shows best in one engine.
  const bool by_onnxruntime =
      engine_reads(EngineKind::onnxruntime, model) && !written.quantized && engine_status(EngineKind::onnxruntime).available;
  result.compared_with = by_onnxruntime ? EngineKind::onnxruntime : EngineKind::openvino;
  const SessionOptions shape{.batch = result.batch == 0 ? kBatchOfAFreeOne : result.batch,
                             .row_shape = options.row_shape,
                             .outputs = options.outputs.empty() ? written.float_outputs : options.outputs};
  {
    const auto expected = answers(*open_session(result.compared_with, model, shape));
    const auto converted = open_session(EngineKind::openvino, staging.xml(), shape);
    const double tolerance = options.fp16 ? kTolerance_fp16 : kTolerance;
    compare(expected, answers(*converted), converted->outputs(), tolerance, where, result);
    check_probe(*converted, options, where);
  }
  result.outputs = shape.outputs.size();
  result.file_bytes = static_cast<std::int64_t>(fs::file_size(staging.xml()) + fs::file_size(staging.bin()));
  staging.move_into_place();
  return result;
}

}  // namespace whimbrel
