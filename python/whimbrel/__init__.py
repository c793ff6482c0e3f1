"""Whimbrel: PyTorch-trained models over long recordings on plain CPUs.

    predictor = whimbrel.Predictor("model.toml")                  # or a plan, or a list of models
    result = predictor.predict("recordings/", progress=True)
    result.to_submission("submission.csv")

`quantize`, `bench`, `plan`, `score`, `export` and `report` are the verbs of the command. Importing this package is cheap: what
a name needs is imported when the name is first used.
"""

from .errors import Error

__version__ = "0.1.0"

_HOMES = {
    "Predictor": "predictor",
    "Progress": "predictor",
    "Result": "result",
    "Mel": "mel",
    "read_audio": "audio",
    "quantize": "verbs",
    "bench": "verbs",
    "plan": "verbs",
    "score": "verbs",
}
# Subpackages that are callable: after `import whimbrel.export` Python itself puts the subpackage here, so a function of the
# same name would only work until then.
_CALLABLE = ("export", "report")
__all__ = ["Error", *_HOMES, *_CALLABLE]


def __getattr__(name):
    import importlib

    if name in _CALLABLE:
        return importlib.import_module(f"whimbrel.{name}")
    if name in _HOMES:
        value = globals()[name] = getattr(importlib.import_module(f"whimbrel.{_HOMES[name]}"), name)
        return value
    raise AttributeError(f"module 'whimbrel' has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]
