"""Small networks of three outputs, fed one second of samples at 8 kHz, and recordings of noise and silence for them.

`Network` is the same in NumPy, so that a test can say what a run of several should give. A recording is shorter or longer than
whole windows as the test asks; parts of it are silent, which gives equal scores.
"""

import subprocess

import numpy as np
import onnx
import soundfile
from onnx import TensorProto, helper, numpy_helper

RATE = 8000  # and the samples of a window
CLASSES = 4
FRAMES = 10  # of a window
EMBEDDING = 6
LABELS = [f"class {i}" for i in range(CLASSES)]


def run(whimbrel, *words, **options):
    return subprocess.run([str(whimbrel), *map(str, words)], capture_output=True, text=True, timeout=600, **options)


def files_of(folder):
    """{relative name: bytes} of everything but run.json, which holds times."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "run.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


def write_recording(path, seconds, seed, silent=()):
    """Noise whose strength changes every half second; `silent` are (begin, end) in seconds."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(round(seconds * RATE))
    samples *= np.repeat(rng.uniform(0.02, 0.3, len(samples) // 4000 + 1), 4000)[: len(samples)]
    for begin, end in silent:
        samples[round(begin * RATE) : round(end * RATE)] = 0
    soundfile.write(path, samples.astype(np.float32), RATE, subtype="FLOAT")


def write_plan(path, models, weights, record, cascade=None, batches=(2, 2, 2)):
    """plan.toml by hand, of models that `record` (a run.json) describes."""
    lines = [
        "[plan]",
        'whimbrel = "0.0.0"',
        'created = "2026-01-01T00:00:00"',
        f'cpu = "{record["cpu"]["model"]}"',
        "cores = 1",
    ]
    lines += ['metric = "macro_roc_auc"', "budget_s = 60", "workload_windows = 100", "workload_s = 100"]
    lines += ["expected_wall_s = 1", "wall_margin_s = 0.1", "expected_score = 0.9", "score_low = 0.8", "score_high = 1"]
    lines += ['method = "cascade"', "best_single_score = 0.8", "best_equal_score = 0.85", "best_weighted_score = 0.9"]
    for model, weight, described, batch in zip(models, weights, record["models"], batches, strict=False):
        lines += ["[[member]]", f'model = "{model}"', f'name = "{model.stem}"', f'hash = "{described["hash_xxh3_128"]}"']
        lines += ['engine = "onnxruntime"', 'precision = "fp32"', f"batch = {batch}", f"weight = {weight}"]
        lines += ["cost_s = 0.001", "gain = 0.1"]
    if cascade:
        lines += ["[cascade]", *(f"{key} = {value}" for key, value in cascade.items()), "expected_share = 0.5"]
    path.write_text("\n".join(lines) + "\n")
    return path


class Network:
    """Frames of 0.1 s times a matrix; the clip-wise logits are the frames' mean."""

    def __init__(self, seed, offset=0.0):
        rng = np.random.default_rng(seed)
        self.scores = (0.6 * rng.standard_normal((RATE // FRAMES, CLASSES))).astype(np.float32)
        self.embed = (0.3 * rng.standard_normal((RATE // FRAMES, EMBEDDING))).astype(np.float32)
        self.offset = np.full(CLASSES, offset, np.float32)

    def logits(self, windows):
        """[n, samples] -> [n, classes]"""
        return self.frame_logits(windows).mean(axis=1)

    def frame_logits(self, windows):
        """[n, samples] -> [n, frames, classes]"""
        return windows.reshape(-1, FRAMES, RATE // FRAMES).astype(np.float64) @ self.scores + self.offset

    def write(self, folder, name, *, frame_axis="class_last", weight=1.0, hop_s=1, slow=0, output=None, fails=False):
        """ONNX and manifest; the manifest's path.

        output: of the manifest, instead of all three; slow: products of a large matrix that change nothing; fails: silence has
        no score
        """
        folder.mkdir(parents=True, exist_ok=True)
        weights = {
            "matrix": self.scores,
            "embed": self.embed,
            "offset": self.offset,
            "frames": np.array([-1, FRAMES, RATE // FRAMES], np.int64),
        }
        nodes = [
            helper.make_node("Reshape", ["samples", "frames"], ["cut"]),
            helper.make_node("MatMul", ["cut", "matrix"], ["products"]),
            helper.make_node("Add", ["products", "offset"], ["by_class"]),
            helper.make_node("ReduceMean", ["by_class"], ["mean"], axes=[1], keepdims=0),
            helper.make_node("Identity", ["by_class"], ["frame"])
            if frame_axis == "class_last"
            else helper.make_node("Transpose", ["by_class"], ["frame"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["cut", "embed"], ["embedded"]),
            helper.make_node("ReduceMax", ["embedded"], ["embedding"], axes=[1], keepdims=0),
        ]
        nodes += self._slow(slow, weights) if slow else self._failing() if fails else self._plain()
        shape = ["batch", FRAMES, CLASSES] if frame_axis == "class_last" else ["batch", CLASSES, FRAMES]
        outputs = {"embedding": ["batch", EMBEDDING], "frame": shape, "clip": ["batch", CLASSES]}
        graph = helper.make_graph(
            nodes,
            name,
            [helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["batch", RATE])],
            [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in outputs.items()],
            [numpy_helper.from_array(value, key) for key, value in weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, folder / f"{name}.onnx")
        (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
        if output is None:
            output = ['clip = "clip"', 'frame = "frame"', f'frame_axis = "{frame_axis}"', 'embedding = "embedding"']
        lines = ["[model]", f'name = "{name}"', f'file = "{name}.onnx"', 'labels = "labels.txt"', f"weight = {weight}"]
        lines += ["[input]", 'kind = "waveform"', f"sample_rate_hz = {RATE}", "window_s = 1", f"hop_s = {hop_s}"]
        (folder / f"{name}.toml").write_text("\n".join([*lines, "[output]", *output]) + "\n")
        return folder / f"{name}.toml"

    @staticmethod
    def _plain():
        return [helper.make_node("Identity", ["mean"], ["clip"])]

    @staticmethod
    def _failing():
        """The logarithm of how loud the window is, times 0: not a number for silence."""
        return [
            helper.make_node("ReduceL2", ["samples"], ["loud"], axes=[1], keepdims=1),
            helper.make_node("Log", ["loud"], ["level"]),
            helper.make_node("Sub", ["level", "level"], ["nothing"]),
            helper.make_node("Add", ["mean", "nothing"], ["clip"]),
        ]

    @staticmethod
    def _slow(times, weights):
        rng = np.random.default_rng(0)
        weights["large"] = (rng.standard_normal((1000, 1000)) / 32).astype(np.float32)
        weights["pieces"] = np.array([-1, 8, 1000], np.int64)
        weights["zero"] = np.zeros((8000, 1), np.float32)
        weights["row"] = np.array([-1, 8000], np.int64)
        nodes = [helper.make_node("Reshape", ["samples", "pieces"], ["x0"])]
        for i in range(times):
            nodes.append(helper.make_node("MatMul", [f"x{i}", "large"], [f"y{i}"]))
            nodes.append(helper.make_node("Tanh", [f"y{i}"], [f"x{i + 1}"]))
        return [
            *nodes,
            helper.make_node("Reshape", [f"x{times}", "row"], ["chain"]),
            helper.make_node("MatMul", ["chain", "zero"], ["nothing"]),
            helper.make_node("Add", ["mean", "nothing"], ["clip"]),
        ]
