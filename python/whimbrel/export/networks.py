"""Where a network comes from: a timm name or a function in a Python file, and a checkpoint."""

import importlib.util
import inspect
import pathlib
import pickle
import re
import sys

from .errors import ExportError, did_you_mean, some

PREFIXES = ("module.", "model.", "_orig_mod.")  # of DataParallel, Lightning, torch.compile
WRAPPERS = ("state_dict", "model_state_dict", "model")


def load_network(reference, classes, row, checkpoint=None):
    """A network in eval mode, its output names or None, and a name for its files. Never downloads weights.

    @param reference   "timm:NAME" or "FILE.py:FUNCTION[:ARGUMENT...]"
    @param row         shape of one input row; its channels are the timm network's
    @param checkpoint  .pth/.pt/.ckpt or .safetensors, or None
    @throws ExportError invalid_argument, not_found, unsupported
    """
    if reference.startswith("timm:"):
        name = reference.removeprefix("timm:")
        module, names = create_timm(name, classes, row[0] if len(row) == 3 else 1), None
    elif ".py:" in reference:
        module, names, name = call_factory(reference)
    else:
        expected = "timm:NAME (timm:tf_efficientnet_b0) or FILE.py:FUNCTION[:ARGUMENT] (models.py:build:b0)"
        raise ExportError("invalid_argument", f"model {reference!r}, expected {expected}")
    if checkpoint is not None:
        fit_checkpoint(module, checkpoint)
    return module.eval(), names, name


def import_timm():
    """timm, also where torchvision's registry build stands beside a CPU-only torch.

    That torchvision expects CUDA: its library does not load, and its import then misses two operators which nothing here calls.
    """
    try:
        import torch

        try:
            import torchvision  # noqa: F401
        except RuntimeError:
            library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            import_timm.library = library  # the operators live as long as this object
        import timm
    except ImportError as error:
        needs = "export needs PyTorch and timm: pip install torch timm"
        raise ExportError("unsupported", f"{error}; {needs}") from error
    return timm


def create_timm(name, classes, in_chans):
    timm = import_timm()
    # Only names that timm itself has: a hub address would go to the network.
    if not timm.is_model(name):
        near = did_you_mean(name.split(".", 1)[0], timm.list_models(), 3)
        found = f"timm {timm.__version__} has no model {name!r}"
        raise ExportError("invalid_argument", f"{found}, expected one of timm.list_models(){near}")
    try:
        return timm.create_model(name, pretrained=False, num_classes=classes, in_chans=in_chans)
    except RuntimeError as error:  # an unknown tag behind the dot
        raise ExportError(
            "invalid_argument", f"timm cannot create {name!r}: {error}; leave out the tag behind the dot"
        ) from error


def call_factory(reference):
    """FILE.py:FUNCTION[:ARGUMENT...] -> the module that the function returns, its output names or None, and a name.

    Whole numbers among the arguments arrive as int, the rest as str.
    """
    file, _, call = reference.partition(".py:")
    path = pathlib.Path(file + ".py")
    function_name, *arguments = call.split(":")
    if not path.is_file():
        raise ExportError("not_found", f"{path}: no such file, expected the Python file of the network")
    import_timm()
    spec = importlib.util.spec_from_file_location(f"whimbrel_network_{path.stem}", path)
    python = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))  # a network's file may import its neighbours
    try:
        spec.loader.exec_module(python)
        function = getattr(python, function_name, None)
        if not callable(function):
            names = [n for n, f in vars(python).items() if inspect.isfunction(f) or inspect.isclass(f)]
            raise ExportError(
                "invalid_argument", f"{path} has no function {function_name!r}; it has {some(names, 9) or 'none'}"
            )
        made = function(*(int(a) if re.fullmatch(r"-?\d+", a) else a for a in arguments))
    except ExportError:
        raise
    except Exception as error:
        raise ExportError("invalid_argument", f"{reference}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    module, names = made if isinstance(made, tuple) else (made, None)
    import torch

    if not isinstance(module, torch.nn.Module):
        expected = "a torch.nn.Module or (module, [output names])"
        raise ExportError("invalid_argument", f"{reference} returned {type(module).__name__}, expected {expected}")
    words = [a for a in arguments if re.fullmatch(r"[A-Za-z_][\w.+-]*", a)]
    return module, list(names) if names else None, words[0] if words else function_name


def read_checkpoint(path):
    """Tensors by name. @throws ExportError not_found, invalid_argument: not a checkpoint, or more than tensors in it"""
    import torch

    path = pathlib.Path(path)
    if not path.is_file():
        raise ExportError("not_found", f"{path}: no such file, expected a checkpoint (.pth, .safetensors)")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        message = f"{path} cannot be read as plain tensors: {str(error).splitlines()[0]}"
        raise ExportError("invalid_argument", f"{message}; write it by torch.save(module.state_dict(), path)") from error
    except Exception as error:
        raise ExportError("invalid_argument", f"{path} is not a checkpoint: {type(error).__name__}: {error}") from error
    while isinstance(state, dict):
        inner = next((state[key] for key in WRAPPERS if isinstance(state.get(key), dict)), None)
        if inner is None:
            break
        state = inner
    tensors = {k: v for k, v in state.items() if isinstance(v, torch.Tensor)} if isinstance(state, dict) else {}
    if not tensors:
        expected = f"a state dict, or one under {', '.join(WRAPPERS)}"
        raise ExportError("invalid_argument", f"{path} holds no tensors by name, expected {expected}")
    return tensors


def fit_checkpoint(module, path):
    """Loads a checkpoint, all of it: every weight of the network and nothing else. Half precision becomes float.

    @throws ExportError invalid_argument: which names are missing, unexpected or of another shape, and how many
    """
    wanted = module.state_dict()
    state = {}
    for name, tensor in read_checkpoint(path).items():
        short = name
        while short not in wanted and short.startswith(PREFIXES):
            short = short.split(".", 1)[1]
        state[short if short in wanted else name] = tensor.float() if tensor.is_floating_point() else tensor
    # Counts batches in training only; older checkpoints and some tools leave it out.
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in wanted]
    other = [name for name in wanted if name in state and state[name].shape != wanted[name].shape]
    faults = []
    if missing:
        faults.append(f"{len(missing)} missing ({some(missing)})")
    if unexpected:
        faults.append(f"{len(unexpected)} unexpected ({some(unexpected)})")
    if other:
        shapes = (f"{n} is {list(state[n].shape)}, expected {list(wanted[n].shape)}" for n in other)
        faults.append(f"{len(other)} of another shape ({some(shapes)})")
    if faults:
        remedy = "check the network's name, --num-classes and --in-chans"
        raise ExportError(
            "invalid_argument", f"{path} does not fit the network's {len(wanted)} tensors: {'; '.join(faults)}; {remedy}"
        )
    module.load_state_dict(state, strict=False)
