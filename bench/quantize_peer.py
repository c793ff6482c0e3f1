"""One peer quantizes one model: `quantize_peer.py ort|nncf-performance|nncf-mixed MODEL.onnx WINDOWS.npy OUT`.

A process of its own, so that its time and memory are measured whole; what a careful user would write.
"""

import os
import pathlib
import sys

os.environ["NNCF_CI"] = "1"  # no telemetry
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
from common import cpu_has_vnni


def with_onnxruntime(model, windows, out):
    """U8 activations, S8 weights per channel, QDQ, min-max: its best. Without VNNI weights of 7 bits, which cannot saturate."""
    import onnxruntime
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            name = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"]).get_inputs()[0].name
            self.rows = iter([{name: windows[i : i + 1]} for i in range(len(windows))])

        def get_next(self):
            return next(self.rows, None)

    prepared = out.with_suffix(".prepared.onnx")
    try:
        quantization.quant_pre_process(str(model), str(prepared))
    except Exception as error:  # as often advised: without symbolic shape inference
        print(f"quant_pre_process: {error}; again with skip_symbolic_shape", file=sys.stderr)
        quantization.quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(prepared),
        str(out),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
        reduce_range=not cpu_has_vnni(),
        calibrate_method=quantization.CalibrationMethod.MinMax,
    )
    prepared.unlink()


def with_nncf(model, windows, out, preset):
    import nncf
    import openvino

    network = openvino.Core().read_model(str(model))
    rows = nncf.Dataset([windows[i : i + 1] for i in range(len(windows))])
    preset = nncf.QuantizationPreset(preset)
    quantized = nncf.quantize(
        network, rows, preset=preset, target_device=nncf.TargetDevice.CPU, subset_size=len(windows), fast_bias_correction=True
    )
    openvino.save_model(quantized, str(out), compress_to_fp16=False)


def main():
    method, model, windows, out = sys.argv[1:]
    model, windows, out = pathlib.Path(model), np.load(windows), pathlib.Path(out)
    if method == "ort":
        with_onnxruntime(model, windows, out)
    else:
        with_nncf(model, windows, out, method.removeprefix("nncf-"))


if __name__ == "__main__":
    main()
