"""PyTorch module -> ONNX and TorchScript files, and their outputs."""

import contextlib
import io
import json
import logging
import warnings

import numpy as np

from .errors import ExportError

OPSET = 18  # what torch's dynamo exporter writes without converting; both engines read it
INPUT_NAME = "input"
RECORD = "whimbrel.json"  # in the .pt file; src/engines/torchscript_record.h reads it
MAX_BYTES = 2**31 - 1  # of one protobuf file


@contextlib.contextmanager
def quiet():
    """The exporters talk to stdout and warn about themselves; neither is for our user."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextlib.contextmanager
def one_thread():
    """PyTorch on one thread: a few rows need no more, and on a busy machine its threads wait for each other a hundredfold."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def probe_row(shape):
    """The input that probes are recorded on, as whimbrel::probe_input: [1, *shape], float32 in [0, 1).

    x[i] = (h >> 8) / 2^24, h = lowbias32(i) (Wellons' integer hash, 2018).
    """
    h = np.arange(np.prod(shape, dtype=np.int64), dtype=np.uint32)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        h ^= h >> np.uint32(shift)
        h *= np.uint32(factor)
    h ^= h >> np.uint32(16)
    return ((h >> np.uint32(8)).astype(np.float32) / np.float32(2**24)).reshape(1, *shape)


def export_dynamo(module, example, names, path):
    import torch

    batch = {0: torch.export.Dim("batch", min=1)}
    torch.onnx.export(
        module,
        (example,),
        path,
        input_names=[INPUT_NAME],
        output_names=names,
        opset_version=OPSET,
        dynamo=True,
        dynamic_shapes=(batch,),
        external_data=False,
        verbose=False,
    )


def export_torchscript(module, example, names, path):
    import torch

    torch.onnx.export(
        module,
        (example,),
        path,
        input_names=[INPUT_NAME],
        output_names=names,
        opset_version=OPSET,
        dynamo=False,
        dynamic_axes={name: {0: "batch"} for name in [INPUT_NAME, *names]},
        do_constant_folding=True,
    )


EXPORTERS = {"dynamo": export_dynamo, "torchscript": export_torchscript}


def session(path, optimized_path=None):
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    if optimized_path is not None:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(optimized_path)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def fold(raw_path, path, row, output_rows):
    """Folds constants and batch normalization, and leaves a portable file: standard operators, no trace of this machine.

    ONNX Runtime's basic level rewrites within the standard only; without it a network with standardized weights (NFNet)
    carries each weight twice, or computes it anew at every run. Declared shapes are those that were seen: torch writes the
    batch's symbol on axes that have nothing to do with it.

    @param output_rows  {name: shape without the batch}
    @return  number of operators
    """
    import onnx

    session(raw_path, path)
    model = onnx.load(path)
    graph = model.graph
    alien = sorted({f"{node.domain}.{node.op_type}" for node in graph.node if node.domain not in ("", "ai.onnx")})
    if alien:
        raise ExportError("engine", f"the ONNX graph has operators outside the standard: {', '.join(alien)}")
    del model.opset_import[:], model.metadata_props[:], graph.value_info[:], graph.metadata_props[:]
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    graph.doc_string = model.doc_string = ""
    for item in [*graph.node, *graph.initializer, *graph.input, *graph.output]:
        del item.metadata_props[:]  # the exporter's stack traces, with this machine's paths
        item.doc_string = ""
    for value, shape in [(graph.input[0], row), *((o, output_rows[o.name]) for o in graph.output)]:
        tensor = onnx.helper.make_tensor_value_info(value.name, onnx.TensorProto.FLOAT, ["batch", *shape])
        value.CopyFrom(tensor)
    onnx.checker.check_model(model, full_check=True)
    if model.ByteSize() > MAX_BYTES:
        raise ExportError(
            "unsupported", f"the network has {model.ByteSize()} bytes, expected at most {MAX_BYTES} (one ONNX file)"
        )
    onnx.save(model, path)
    return len(graph.node)


def trace(module, example, names, path):
    """TorchScript has no names and no shapes: they are recorded in the archive, for the engine that runs it."""
    import torch

    record = {"input": {"name": INPUT_NAME, "shape": [-1, *example.shape[1:]]}, "outputs": names}
    # Ours is the check that follows; torch's own would trace three times.
    with quiet(), torch.inference_mode():
        traced = torch.jit.trace(module, example, check_trace=False)
        traced.save(str(path), _extra_files={RECORD: json.dumps(record)})


def run_torchscript(path, inputs):
    """Outputs of the written file for each input."""
    import torch

    # Without the profiling executor, which would spend seconds to compile for a handful of runs.
    with torch.inference_mode(), torch.jit.optimized_execution(False), quiet():
        module = torch.jit.load(str(path))
        return [arrays(module(torch.from_numpy(x))) for x in inputs]


def run_onnx(path, inputs):
    """Outputs of the written file in ONNX Runtime for each input."""
    network = session(path)
    return [network.run(None, {INPUT_NAME: x}) for x in inputs]


def arrays(outputs):
    outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    return [o.numpy() for o in outputs]
