"""Whimbrel: PyTorch-trained models over long recordings on plain CPUs.

`whimbrel.export(module, example, out_dir, manifest)` writes what the `whimbrel` program runs. Importing this package is cheap:
torch is imported when an export begins.
"""

import importlib

__version__ = "0.1.0"
__all__ = ["export"]


def __getattr__(name):
    # `whimbrel.export` is the subpackage, and calling it exports: after `import whimbrel.export` Python itself puts the
    # subpackage there, so a function of the same name would only work until then.
    if name == "export":
        return importlib.import_module("whimbrel.export")
    raise AttributeError(f"module 'whimbrel' has no attribute {name!r}")
