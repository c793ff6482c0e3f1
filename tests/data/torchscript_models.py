"""The networks of make_models.py as TorchScript, with the same weights: `sed.pt` beside `sed.onnx`."""

import json
import warnings

import onnx
import torch
from onnx import numpy_helper
from torch import nn


class Network(nn.Module):
    """A function of the input and of weights by name."""

    def __init__(self, compute, weights):
        super().__init__()
        self.compute = compute
        for name, value in weights.items():
            self.register_parameter(name, nn.Parameter(torch.from_numpy(value.copy()), requires_grad=False))

    def forward(self, *inputs):
        return self.compute(self, *inputs)


class Outer(nn.Module):
    """As real networks are: layers in layers, some of which do nothing or are never called."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.unused = inner, nn.Identity()
        self.called = nn.Sequential(nn.Identity(), nn.Sequential(nn.Dropout(), nn.Identity()))

    def forward(self, *inputs):
        return self.inner(*(self.called(x) for x in inputs))


def sed(n, x):
    bands = nn.functional.silu(nn.functional.conv2d(x, n.conv_w, n.conv_b, stride=2, padding=1)).mean(2)
    frame = nn.functional.conv1d(bands, n.head_w, n.head_b)
    return frame.amax(2), frame


def save(folder, name, compute, row, outputs, batch=-1, inputs=("x",), record=True, weights=None):
    """Traced on two rows. `record` as whimbrel export writes it; without: a file that says nothing about itself."""
    if weights is None:
        graph = onnx.load(folder / f"{name}.onnx").graph
        weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    rows = 2 if batch == -1 else batch
    examples = tuple(torch.rand(rows, *(12 if axis == -1 else axis for axis in row)) for _ in inputs)
    with torch.no_grad():
        traced = torch.jit.trace(Outer(Network(compute, weights)).eval(), examples, check_trace=False)
    facts = {"input": {"name": inputs[0], "shape": [batch, *row]}, "outputs": outputs}
    traced.save(folder / f"{name}.pt", _extra_files={"whimbrel.json": json.dumps(facts)} if record else {})


def write(folder):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")  # torch.jit is deprecated; it is what is tested
    product = lambda n, x: x @ n.w  # noqa: E731
    save(folder, "sed", sed, [3, 16, 20], ["clip", "frame"], inputs=("mel",))
    save(folder, "free_axes", sed, [3, -1, -1], ["clip", "frame"], inputs=("mel",))
    for name in ("linear", "nan"):
        save(folder, name, product, [4], ["y"])
    save(folder, "fixed_batch", product, [4], ["y"], batch=4)
    save(folder, "two_inputs", lambda n, x, y: x + y, [4], ["z"], inputs=("x", "y"))
    save(folder, "integer_output", lambda n, x: (x.argmax(1, keepdim=True), x.relu()), [4], ["best", "y"])
    save(folder, "no_batch_output", lambda n, x: x.mean(), [4], ["mean"])
    save(folder, "coupled_rows", lambda n, x: x / x.max(), [4], ["y"])
    save(folder, "in_place", lambda n, x: x.neg_().relu_(), [4], ["y"])  # writes into its input
    save(folder, "wrong_inside", product, [4], ["y"], record=False)
    save(folder, "unnamed", lambda n, x: (x.relu(), (-x).relu()), [4], None, record=False, weights={})
    save(folder, "too_many_names", lambda n, x: x.relu(), [4], ["a", "b"], weights={})
    save(folder, "data_dependent", lambda n, x: x[:, : x[0, 0].int()], [4], ["y"], weights={})
    module = torch.jit.script(Dictionary())
    module.save(folder / "dictionary.pt", _extra_files={})
    torch.save({"w": torch.zeros(3)}, folder / "checkpoint.pt")
    (folder / "broken.pt").write_bytes(b"this is no archive")


class Dictionary(nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": x}
