"""Whimbrel: PyTorch-trained models over long recordings on plain CPUs.

`whimbrel.export(module, example, out_dir, manifest)` writes what the `whimbrel` program runs; `whimbrel.report(source, output)`
makes a page of what it wrote. Importing this package is cheap: torch is imported when an export begins, plotly when a report
does.
"""

import importlib

__version__ = "0.1.0"
__all__ = ["export", "report"]


def __getattr__(name):
    # `whimbrel.export` is the subpackage, and calling it exports: after `import whimbrel.export` Python itself puts the
    # subpackage there, so a function of the same name would only work until then. `whimbrel.report` likewise.
    if name in ("export", "report"):
        return importlib.import_module(f"whimbrel.{name}")
    raise AttributeError(f"module 'whimbrel' has no attribute {name!r}")
