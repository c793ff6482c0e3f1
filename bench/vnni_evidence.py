"""Which integer kernels do ONNX Runtime and OpenVINO take in this process? Judged by what they compute and how fast.

One U8S8 convolution of full-range weights on inputs near 255. VNNI adds four products in 32 bits and is exact; AVX2's
`vpmaddubsw` adds two in 16 bits and saturates, so its answer is far off. Also the speed of FP32 and U8S8, and the kernel names
that OpenVINO reports. `without_vnni.py --check` runs it with and without VNNI.
"""

import statistics
import time

import numpy as np
import openvino
from common import engine_onnxruntime, engine_openvino
from onnx import TensorProto, helper, numpy_helper

CHANNELS, SIZE = 64, 48


def quantized(x, name):
    return [
        helper.make_node("QuantizeLinear", [x, f"{name}_scale", f"{name}_zero"], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", f"{name}_scale", f"{name}_zero"], [f"{name}_dq"]),
    ]


def convolution(weights, integer):
    """x [1, C, S, S] -> y; as QDQ with scale 1 of x and w, so that an exact kernel gives the integers of the sum."""
    constants = {"w": weights.astype(np.int8 if integer else np.float32)}
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])]
    if integer:
        constants |= {"x_scale": np.float32(1), "x_zero": np.uint8(0), "w_scale": np.float32(1), "w_zero": np.int8(0)}
        constants |= {"y_scale": np.float32(2**14), "y_zero": np.uint8(128)}
        nodes = [*quantized("x", "x"), helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_dq"])]
        nodes += [helper.make_node("Conv", ["x_dq", "w_dq"], ["c"], pads=[1, 1, 1, 1]), *quantized("c", "y")]
    out = "y_dq" if integer else "y"
    shape = [1, CHANNELS, SIZE, SIZE]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", out)]
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "convolution", ends[:1], ends[1:], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return model.SerializeToString()


def expected(x, weights):
    """The exact sums, rounded to the output's steps of 2**14."""
    padded = np.pad(x[0].astype(np.int64), ((0, 0), (1, 1), (1, 1)))
    sums = sum(
        np.einsum("oc,chw->ohw", weights[:, :, i, j].astype(np.int64), padded[:, i : i + SIZE, j : j + SIZE])
        for i in range(3)
        for j in range(3)
    )
    return (np.clip(np.rint(sums / 2**14), -128, 127) * 2**14)[None]


def milliseconds(run, x):
    times = []
    for _ in range(60):
        begin = time.perf_counter()
        run(x)
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times[10:])


def kernels(model):
    compiled = openvino.Core().compile_model(openvino.Core().read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    nodes = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    found = {node["primitiveType"].astype(str) for node in nodes if node["layerType"].astype(str) == "Convolution"}
    return " ".join(sorted(found))


def main():
    rng = np.random.default_rng(1)
    weights = rng.integers(-127, 128, [CHANNELS, CHANNELS, 3, 3])
    x = rng.integers(200, 256, [1, CHANNELS, SIZE, SIZE]).astype(np.float32)
    integer, real = convolution(weights, True), convolution(weights, False)
    truth = expected(x, weights)
    for name, engine in (("ONNX Runtime", engine_onnxruntime), ("OpenVINO", engine_openvino)):
        fp32, int8 = engine(real), engine(integer)
        off = np.abs(int8(x)[0] - truth) > 2**14  # one step may be rounding
        kind = "exact: VNNI" if not off.any() else "saturated: vpmaddubsw"
        print(
            f"  {name}: {100 * off.mean():.1f} % of U8S8 outputs off by more than a step ({kind}); "
            f"FP32 {milliseconds(fp32, x):.2f} ms, U8S8 {milliseconds(int8, x):.2f} ms"
        )
    print(f"  OpenVINO's convolution: FP32 {kernels(real)}; U8S8 {kernels(integer)}")


if __name__ == "__main__":
    main()
