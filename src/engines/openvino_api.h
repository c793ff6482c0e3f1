// What the OpenVINO module offers the program.
#pragma once

#include "engines/engine_module.h"

namespace whimbrel::engines {

class OpenVino : public EngineModule {};

}  // namespace whimbrel::engines
