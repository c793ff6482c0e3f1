"""PyTorch -> ONNX, TorchScript and a manifest, checked against PyTorch's own output.

    whimbrel.export(module, example, "models", {"model": {"labels": [...]}, "input": {...}})
    whimbrel export timm:tf_efficientnet_b0 --front-end fe.toml --labels labels.txt -o models

This module is itself callable: `whimbrel.export(...)` is the function `export` below.
"""

import os

from .._command import make_callable
from .errors import ExportError

__all__ = ["ExportError", "export"]


def export(module, example, out_dir, manifest, *, output_names=None, log=None):
    """Writes NAME.onnx, NAME.pt, NAME.toml, NAME.probe.npy and labels.txt into a folder; all of them or, on an error, none.

    @param module        torch.nn.Module of any precision; copied, never changed. It takes one tensor and returns a tensor, a
                         tuple or a dict of them: clip-wise [batch, classes], frame-wise [batch, classes, frames] or
                         [batch, frames, classes], embedding [batch, d]; the first is needed
    @param example       [n, channels, n_mels, frames] or [n, samples], float32: one real input
    @param out_dir       made where absent
    @param manifest      mapping with the manifest's tables, or the path of such a TOML file: "model" (labels: a list or a path;
                         name, weight), "input" (with "mel"), "output" and "probe" (tolerance) where not the defaults
    @param output_names  names of the outputs in the module's order; default: those of manifest["output"], or by their shapes
    @param log           called with a line at each step
    @return              a dict of what was written: paths, sizes, opset, parameters, largest differences
    @throws ExportError  one line, with a code spelled as in whimbrel's --json
    """
    # ONNX Runtime's wheel reports over the network otherwise; the program's own engine sets it too.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        from .exporter import write_model
    except ImportError as error:
        needs = "export needs: pip install torch onnx onnxscript onnxruntime"
        raise ExportError("unsupported", f"{error}; {needs}") from error
    return write_model(module, example, out_dir, manifest, output_names, log or (lambda line: None))


make_callable(__name__, export)
