"""PyTorch's own answers, which every written file must give."""

import numpy as np
import torch

from .errors import ExportError
from .graph import arrays, probe_row, quiet

SCALES = (1.0, 0.1, 1e-2, 1e-3, 1e-4)
# Another float32 program's distance to PyTorch is like the one that sensitivity() finds, not equal: measured up to 5 times.
MARGIN = 10


class Reference:
    """Inputs with PyTorch's answers to them, and how far these can be trusted.

    inputs, expected  batches of 1, 2 and 5 rows uniform in [0, scale), the caller's example among them; expected[i] holds an
                      array for every output
    scale             1, unless the network amplifies rounding so much that two programs need not agree (an untrained, deep one
                      may): then the largest at which it does not
    probe             answers to the probe row at scale 1, which the manifest records
    rounding          how far rounding alone moves `probe`
    """

    def __init__(self, module, example, row, tolerance):
        self.module, self.tolerance = module, tolerance
        for scale in SCALES:
            x = probe_row(row) * np.float32(scale)
            answers = run_pytorch(module, x)
            moved = self.sensitivity(x, answers)
            if scale == 1:
                self.probe, self.rounding = answers, max(moved)
            if all(m <= 0.1 * tolerance * np.abs(y).max() for m, y in zip(moved, answers, strict=True)):
                break
        else:
            found = f"rounding alone moves PyTorch's own answer by {self.rounding:.3g}"
            expected = f"at most {0.1 * tolerance:g} of the largest value, {largest(self.probe):.3g}"
            raise ExportError("invalid_argument", f"{found}, expected {expected}; the weights are untrained or broken")
        random = np.random.default_rng(0)
        two, five = (random.random((n, *row), np.float32) * np.float32(scale) for n in (2, 5))
        if scale == 1:
            five[-1] = example[0].numpy()
        self.scale = scale
        self.inputs = [x, two, five]
        self.expected = [answers, run_pytorch(module, two), run_pytorch(module, five)]

    @property
    def probe_tolerance(self):
        """How far an engine may be off on the probe: the tolerance, or more where PyTorch is less sure."""
        return max(self.tolerance, MARGIN * self.rounding)

    @property
    def shapes(self):
        """Of every output. @throws ExportError invalid_argument if more than the first axis changes with the batch"""
        for x, ys in zip(self.inputs, self.expected, strict=True):
            for y, first in zip(ys, self.expected[0], strict=True):
                wanted = (len(x), *first.shape[1:])
                if y.ndim < 2 or y.shape != wanted:
                    found = f"an output is {list(y.shape)} for a batch of {len(x)}"
                    raise ExportError("invalid_argument", f"{found}, expected {list(wanted)}: batch first, and an axis more")
        return [y.shape for y in self.expected[0]]

    def sensitivity(self, x, answers):
        """How far each answer moves when every input value moves by about two units in its last place, up or down at random.

        Close to the difference between PyTorch and ONNX Runtime on the trained networks that it was measured on, at the cost of
        one more run; the same in float64, the exact way, takes a minute for a small network, because PyTorch's convolutions are
        made for float32.
        """
        signs = np.random.default_rng(1).choice(np.float32([-1, 1]), x.shape)
        moved = run_pytorch(self.module, x * (1 + signs * np.float32(2**-22)))
        return [float(np.abs(y - m).max()) for y, m in zip(answers, moved, strict=True)]

    def compare(self, found, names, who):
        """Largest absolute difference of an engine's answers over all inputs and outputs.

        @throws ExportError engine: a shape that differs, or a value by more than the tolerance and than rounding can
        """
        differences = [0.0]
        for x, expected, ys in zip(self.inputs, self.expected, found, strict=True):
            for i, (name, wanted, y) in enumerate(zip(names, expected, ys, strict=True)):
                if wanted.shape != y.shape:
                    raise ExportError("engine", f"{who}: {name} is {list(y.shape)}, PyTorch's is {list(wanted.shape)}")
                difference = float(np.abs(wanted.astype(np.float64) - y).max())
                limit = allowed(wanted, self.tolerance)
                if not difference <= limit:
                    limit = max(limit, MARGIN * self.sensitivity(x, expected)[i])
                if not difference <= limit:
                    what = f"{who}: {name} differs from PyTorch by {difference:.3g} on a batch of {len(x)}"
                    largest_value = np.abs(wanted).max()
                    raise ExportError("engine", f"{what}, expected at most {limit:.3g} (largest value {largest_value:.3g})")
                differences.append(difference)
        return max(differences)


def allowed(answer, tolerance):
    """The tolerance, relative to the answer's largest value where that is below 1.

    Absolute, it would pass any file of an untrained network, whose answers are about 1e-5. The floor is for answers that are 0.
    """
    return max(tolerance * min(1.0, float(np.abs(answer).max())), 1e-12)


def largest(answers):
    return max(float(np.abs(y).max()) for y in answers)


def call(module, x):
    """@throws ExportError invalid_argument with the network's own words"""
    try:
        with torch.no_grad(), quiet():
            return module(x)
    except Exception as error:
        found = f"the network fails on {list(x.shape)}: {type(error).__name__}: {error}"
        raise ExportError("invalid_argument", found) from error


def as_tuple(outputs):
    return outputs if isinstance(outputs, (tuple, list)) else (outputs,)


def run_pytorch(module, x):
    """Every output as an array. @throws ExportError invalid_argument: not tensors, or not finite"""
    outputs = as_tuple(call(module, torch.from_numpy(x)))
    for output in outputs:
        if not isinstance(output, torch.Tensor):
            expected = "a tensor, or a tuple or dict of tensors"
            raise ExportError("invalid_argument", f"the network returns {type(output).__name__}, expected {expected}")
        if not torch.isfinite(output).all():
            raise ExportError("invalid_argument", "the network's own output is not finite; its weights are broken")
    return arrays(outputs)
