// What the OpenVINO module offers the program beyond sessions.
#pragma once

#include "engines/engine_module.h"

namespace whimbrel::engines {

struct WrittenIr {
  Shape input;             // as it stands in the file: -1 for a free batch
  bool quantized = false;  // it rounds activations or keeps weights in integers
  std::vector<std::string> float_outputs;
};

class OpenVino : public EngineModule {
 public:
  virtual std::vector<NodeTime> profile(const std::filesystem::path& model, const SessionOptions& options,
                                        std::span<const float> input, int runs) = 0;
  virtual std::string remark(const std::filesystem::path& model, const std::string& key) = 0;
  /// Writes `xml` and the .bin of the same name. @throws what convert_model() throws
  virtual WrittenIr write_ir(const std::filesystem::path& model, const std::filesystem::path& xml,
                             const ConvertOptions& options) = 0;
};

/// By the module, which is loaded on first use; inside the module, the work itself.
WrittenIr write_ir(const std::filesystem::path& model, const std::filesystem::path& xml, const ConvertOptions& options);

}  // namespace whimbrel::engines
