"""PyTorch's own answers, which every written file must give."""

import copy

import numpy as np
import torch

from .errors import ExportError
from .graph import arrays, probe_row, quiet

SCALES = (1.0, 0.1, 1e-2, 1e-3, 1e-4)
# Another float32 program sums in another order: its distance to the exact answer is like PyTorch's, not equal. Measured: up to 5.
ROUNDING_MARGIN = 10


class Reference:
    """Inputs with PyTorch's answers to them, and how far these can be trusted.

    inputs, expected  batches of 1, 2 and 5 rows uniform in [0, scale), the caller's example among them; expected[i] holds an
                      array for every output
    scale             1, unless the network amplifies rounding so much that two programs need not agree (an untrained, deep one
                      may): then the largest at which PyTorch's float32 answers are those of its float64, to a tenth of the tolerance
    probe             answers to the probe row at scale 1, which the manifest records
    rounding          largest difference of `probe` to PyTorch's float64 answers; 0 where the network does not run in float64
    """

    def __init__(self, module, example, row, tolerance):
        self.tolerance = tolerance
        self.double = as_double(module)
        for scale in SCALES:
            x = probe_row(row) * np.float32(scale)
            answers = run_pytorch(module, x)
            rounding = self.rounding_of(x, answers)
            if scale == 1:
                self.probe, self.rounding = answers, max(rounding)
            if all(r <= 0.1 * tolerance * np.abs(y).max() for r, y in zip(rounding, answers, strict=True)):
                break
        else:
            found = f"PyTorch's own float32 and float64 answers differ by {self.rounding:.3g}"
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
        """How far an engine may be off on the probe: the tolerance, or more where PyTorch's own answer is less sure."""
        return max(self.tolerance, ROUNDING_MARGIN * self.rounding)

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

    def rounding_of(self, x, answers):
        """Largest difference of each answer to the float64 network's; zeros where that one does not run (fixed types in it)."""
        try:
            with torch.no_grad(), quiet():
                exact = as_tuple(self.double(torch.from_numpy(x).double()))
            return [float(np.abs(y - e.numpy()).max()) for y, e in zip(answers, exact, strict=True)]
        except Exception:
            return [0.0] * len(answers)

    def compare(self, found, names, who):
        """Largest absolute difference of an engine's answers over all inputs and outputs.

        @throws ExportError engine: a shape that differs, or a value by more than the tolerance and PyTorch's own rounding
        """
        differences = [0.0]
        for x, expected, ys in zip(self.inputs, self.expected, found, strict=True):
            for i, (name, wanted, y) in enumerate(zip(names, expected, ys, strict=True)):
                if wanted.shape != y.shape:
                    raise ExportError("engine", f"{who}: {name} is {list(y.shape)}, PyTorch's is {list(wanted.shape)}")
                difference = float(np.abs(wanted.astype(np.float64) - y).max())
                limit = allowed(wanted, self.tolerance)
                if not difference <= limit:  # float64 is slow: only now
                    limit = max(limit, ROUNDING_MARGIN * self.rounding_of(x, expected)[i])
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


def as_double(module):
    """A float64 copy, or None if it cannot be had."""
    try:
        return copy.deepcopy(module).double()
    except Exception:
        return None


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
