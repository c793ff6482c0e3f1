"""`whimbrel export`: the command."""

import pathlib
import sys

from .._command import log_of, main_of, parser_of
from . import __doc__ as description
from .errors import ExportError
from .manifest import read_front_end, read_labels, row_shape

EXAMPLES = """examples:
  whimbrel export timm:tf_efficientnet_b0 --num-classes 264 --checkpoint w.pth --front-end fe.toml --labels labels.txt -o models
  whimbrel export models.py:build:tf_efficientnet_b0.sed --front-end fe.toml --labels labels.txt -o models

--front-end is a TOML file with [input] and [input.mel], as in a manifest: docs/manifest.md. Weights are never downloaded.
exit codes: 0 done; 2 usage, or input that does not fit; 3 no file could be written that answers as PyTorch does"""


def make_parser():
    parser = parser_of("export", description, EXAMPLES)
    parser.add_argument(
        "model", help="timm:NAME, or FILE.py:FUNCTION[:ARGUMENT...] that returns a module or (module, [output names])"
    )
    parser.add_argument("--front-end", required=True, metavar="FILE", help="what the network is fed: TOML with [input]")
    parser.add_argument("--labels", required=True, metavar="FILE", help="one class a line")
    parser.add_argument("-o", "--out", required=True, metavar="DIR", help="folder to write into")
    parser.add_argument(
        "--checkpoint", metavar="FILE", help=".pth or .safetensors; without it timm's networks have random weights"
    )
    parser.add_argument("--num-classes", type=int, metavar="N", help="of a timm network; default: as many as labels")
    parser.add_argument("--in-chans", type=int, metavar="N", help="of a timm network; default: the front end's channels")
    parser.add_argument("--name", help="of the model and its files; default: that of the network")
    parser.add_argument("--activation", default="sigmoid", choices=("sigmoid", "softmax", "none"), help="default: sigmoid")
    parser.add_argument(
        "--tolerance", type=float, default=1e-3, metavar="X", help="largest difference to PyTorch; default: 1e-3"
    )
    return parser


def run(arguments):
    labels = read_labels(arguments.labels)
    front_end = read_front_end(arguments.front_end)
    row = row_shape(front_end)
    if arguments.num_classes is not None and arguments.num_classes != len(labels):
        found = f"{arguments.labels} has {len(labels)} labels, --num-classes is {arguments.num_classes}"
        raise ExportError("invalid_argument", f"{found}; expected as many of one as of the other")
    channels = row[0] if len(row) == 3 else 1
    if arguments.in_chans is not None and arguments.in_chans != channels:
        found = f"--in-chans is {arguments.in_chans}, {arguments.front_end} has channels = {channels}"
        raise ExportError("invalid_argument", f"{found}; expected the same")
    try:
        import torch

        from . import export
        from .networks import load_network
    except ImportError as error:
        raise ExportError(
            "unsupported", f"{error}; export needs: pip install torch timm onnx onnxscript onnxruntime"
        ) from error
    log = log_of("export", arguments)
    torch.manual_seed(0)  # a network without a checkpoint is the same at every call
    module, output_names, name = load_network(arguments.model, len(labels), row, arguments.checkpoint)
    manifest = {
        "model": {"name": arguments.name or name, "labels": labels},
        "input": front_end,
        "output": {"activation": arguments.activation},
        "probe": {"tolerance": arguments.tolerance},
    }
    if arguments.checkpoint is None and arguments.model.startswith("timm:"):
        log("no --checkpoint: the weights are random, good for measuring speed only")
    return export(module, torch.rand(1, *row), pathlib.Path(arguments.out), manifest, output_names=output_names, log=log)


def main(argv=None):
    return main_of(make_parser(), run, lambda report, _: report["manifest"], argv)


if __name__ == "__main__":
    sys.exit(main())
