"""The export itself: write into a temporary folder, check what was written, and only then move it into place."""

import contextlib
import copy
import os
import pathlib
import shutil
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
import torch

from . import graph
from .errors import ExportError
from .manifest import check_manifest, row_shape, to_toml
from .outputs import name_outputs
from .reference import Reference, call, largest

LABELS = "labels.txt"


class Tuple(torch.nn.Module):
    """A network that returns a dict, as a network that returns a tuple: what graphs can have."""

    def __init__(self, inner, keys):
        super().__init__()
        self.inner, self.keys = inner, keys

    def forward(self, x):
        outputs = self.inner(x)
        return tuple(outputs[key] for key in self.keys)


@graph.one_thread()
def write_model(module, example, out_dir, manifest, output_names, log):
    """See whimbrel.export."""
    started = time.monotonic()
    manifest = check_manifest(manifest, type(module).__name__)
    name, labels, tolerance = manifest["model"]["name"], manifest["model"]["labels"], manifest["probe"]["tolerance"]
    row = row_shape(manifest["input"])
    example = check_example(example, row)
    module, output_names = prepare(module, example, output_names)
    parameters = sum(p.numel() for p in module.parameters())
    log(f"{name}: {parameters / 1e6:.2f} M parameters, input {shown(row)}, {len(labels)} classes")
    reference = Reference(module, example, row, tolerance)
    output_names, manifest["output"] = name_outputs(reference.shapes, output_names, manifest["output"], len(labels))
    manifest["probe"]["tolerance"] = reference.probe_tolerance
    if reference.scale != 1:
        unsure = f"rounding alone moves the network's answer to the probe by {reference.rounding:.2g}"
        log(f"warning: {unsure}; the probe's tolerance is as wide, and files are compared on input below {reference.scale:g}")
    rows = {n: shape[1:] for n, shape in zip(output_names, reference.shapes, strict=True)}

    out_dir = pathlib.Path(out_dir)
    with staging(out_dir, name, labels) as folder:
        facts = write_onnx(module, folder / f"{name}.onnx", row, rows, reference, log)
        facts |= write_torchscript(module, folder / f"{name}.pt", output_names, reference, log)
        clip = reference.probe[output_names.index(manifest["output"]["clip"])]
        np.save(folder / f"{name}.probe.npy", clip[0].astype(np.float32))
        (folder / LABELS).write_text("\n".join(labels) + "\n", encoding="utf-8")
        (folder / f"{name}.toml").write_text(to_toml(file_tables(manifest), made_by(facts)), encoding="utf-8")
    log(f"wrote {out_dir / name}.toml, .onnx, .pt, .probe.npy and {LABELS}")
    return {
        "model": name,
        "manifest": str(out_dir / f"{name}.toml"),
        "onnx": str(out_dir / f"{name}.onnx"),
        "torchscript": str(out_dir / f"{name}.pt"),
        "probe": str(out_dir / f"{name}.probe.npy"),
        "labels": str(out_dir / LABELS),
        "classes": len(labels),
        "parameters": parameters,
        "input": {"name": graph.INPUT_NAME, "shape": [-1, *row]},
        "outputs": [{"name": n, "shape": [-1, *shape]} for n, shape in rows.items()],
        **facts,
        "pytorch_rounding": reference.rounding,
        "largest_probe_output": largest(reference.probe),
        "tolerance": tolerance,
        "seconds": round(time.monotonic() - started, 2),
    }


def check_example(example, row):
    """[n, *row] float32. @throws ExportError invalid_argument"""
    if not isinstance(example, torch.Tensor):
        example = torch.as_tensor(np.asarray(example))
    if example.ndim == 0 or tuple(example.shape[1:]) != row or len(example) == 0:
        found = f"example is {list(example.shape)}, expected {shown(row)}"
        raise ExportError(
            "invalid_argument", f"{found}: the shape that the manifest's [input] describes; correct one of the two"
        )
    return example.detach().to("cpu", torch.float32)


def prepare(module, example, output_names):
    """A float copy in eval mode on the CPU that returns a tensor or a tuple, and its output names as far as known."""
    if not isinstance(module, torch.nn.Module):
        raise ExportError("invalid_argument", f"module is {type(module).__name__}, expected a torch.nn.Module")
    try:
        module = copy.deepcopy(module)
    except Exception as error:
        raise ExportError(
            "invalid_argument", f"copy.deepcopy of the network fails: {error}; export a freshly built one"
        ) from error
    # The strides of a channels-last network would be written into its weights' layout.
    module = module.to("cpu", torch.float32).to(memory_format=torch.contiguous_format).eval().requires_grad_(False)
    outputs = call(module, example[:1])
    if isinstance(outputs, dict):
        return Tuple(module, list(outputs)), output_names or list(outputs)
    return module, output_names


def write_onnx(module, path, row, output_rows, reference, log):
    """The first exporter whose file answers as PyTorch does. @throws ExportError engine: what each of them did"""
    example = torch.from_numpy(reference.inputs[1])  # 2 rows: a batch of one would be taken for a constant
    raw = path.with_suffix(".raw")
    failures = []
    for exporter, write in graph.EXPORTERS.items():
        started = time.monotonic()
        try:
            with graph.quiet(), torch.no_grad():
                write(module, example, list(output_rows), str(raw))
            operators = graph.fold(raw, path, row, output_rows)
            difference = reference.compare(graph.run_onnx(path, reference.inputs), output_rows, "ONNX Runtime")
        except Exception as error:  # exporters throw whatever their parts throw
            failures.append(f"the {exporter} exporter: {first_line(error)}")
            log(failures[-1])
            continue
        finally:
            raw.unlink(missing_ok=True)
        size = path.stat().st_size
        how = f"{operators} operators, opset {graph.OPSET}, by the {exporter} exporter in {time.monotonic() - started:.1f} s"
        log(f"ONNX: {size / 1e6:.1f} MB, {how}; largest difference {difference:.2g}")
        return {
            "exporter": exporter,
            "opset": graph.OPSET,
            "operators": operators,
            "onnx_bytes": size,
            "max_difference_onnxruntime": difference,
        }
    raise ExportError("engine", f"no ONNX file that answers as PyTorch does; {'; '.join(failures)}")


def write_torchscript(module, path, output_names, reference, log):
    """@throws ExportError engine: the file cannot be written, or does not answer as PyTorch does"""
    started = time.monotonic()
    try:
        graph.trace(module, torch.from_numpy(reference.inputs[1]), list(output_names), path)
        found = graph.run_torchscript(path, reference.inputs)
    except Exception as error:
        raise ExportError("engine", f"TorchScript: {first_line(error)}") from error
    difference = reference.compare(found, output_names, "TorchScript")
    size = path.stat().st_size
    log(f"TorchScript: {size / 1e6:.1f} MB in {time.monotonic() - started:.1f} s; largest difference {difference:.2g}")
    return {"torchscript_bytes": size, "max_difference_torchscript": difference}


def first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def file_tables(manifest):
    name = manifest["model"]["name"]
    return {
        "model": {"name": name, "file": f"{name}.onnx", "labels": LABELS, "weight": manifest["model"]["weight"]},
        "input": manifest["input"],
        "output": manifest["output"],
        "probe": {"output": f"{name}.probe.npy", "tolerance": manifest["probe"]["tolerance"]},
    }


def made_by(facts):
    versions = f"PyTorch {torch.__version__}, ONNX {onnx.__version__}, ONNX Runtime {onnxruntime.__version__}"
    return f"written by whimbrel export: {versions}, opset {facts['opset']}, {facts['exporter']} exporter"


@contextlib.contextmanager
def staging(out_dir, name, labels):
    """A temporary folder inside out_dir whose files move up when the block ends well; on an error nothing is left of it.

    The manifest moves last: until then nobody finds the new files through it.
    @throws ExportError invalid_argument: another model of this folder needs other labels; io
    """
    made = not out_dir.exists()
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        others = [path.name for path in sorted(out_dir.glob("*.toml")) if path.name != f"{name}.toml"]
        old = out_dir / LABELS
        if others and old.exists() and old.read_text(encoding="utf-8", errors="replace").rstrip("\n").split("\n") != labels:
            raise ExportError("invalid_argument", f"{old} has other labels, and {others[0]} needs them; choose another folder")
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{name}.", dir=out_dir))
    except OSError as error:
        raise ExportError("io", f"{out_dir}: {error.strerror}, expected a folder that can be written") from error
    try:
        yield folder
        for path in sorted(folder.iterdir(), key=lambda path: path.suffix == ".toml"):
            os.replace(path, out_dir / path.name)
    except OSError as error:
        raise ExportError("io", f"{error.filename or out_dir}: {error.strerror}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if made and not any(out_dir.iterdir()):
            out_dir.rmdir()


def shown(row):
    return f"[n, {', '.join(map(str, row))}]"
