// What the OpenVINO module offers the program.
#pragma once

#include "engines/engine_module.h"

namespace whimbrel::engines {

class OpenVino : public EngineModule {
 public:
  virtual std::vector<NodeTime> profile(const std::filesystem::path& model, const SessionOptions& options,
                                        std::span<const float> input, int runs) = 0;
  virtual std::string remark(const std::filesystem::path& model, const std::string& key) = 0;
};

}  // namespace whimbrel::engines
