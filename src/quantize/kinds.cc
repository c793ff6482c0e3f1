// ONNX's messages must link and load before anything is built on them.
#include <onnx-ml.pb.h>

#include "whimbrel/quantize.h"

namespace whimbrel::quantize {
int onnx_ir_version() { return onnx::IR_VERSION; }
}  // namespace whimbrel::quantize
