"""What `whimbrel export` writes as TorchScript runs in the command, and scores as ONNX Runtime does."""

import json
import subprocess

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")
import whimbrel  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")  # TorchScript is what we are asked to write
LABELS = [f"Genus species{i}_Bird {i}" for i in range(6)]
MEL = {"n_fft": 512, "hop_samples": 400, "n_mels": 16, "f_max_hz": 8000, "top_db": 80.0, "normalize": "minmax"}
INPUT = {"kind": "mel", "sample_rate_hz": 16000, "window_s": 1.0, "channels": 3, "mel": MEL}


class Sed(torch.nn.Module):
    """Clip-wise and frame-wise logits, the clip-wise ones last: only names tell which is which."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.head = torch.nn.Conv1d(8, len(LABELS), 1)

    def forward(self, x):
        frames = self.head(torch.nn.functional.silu(self.norm(self.conv(x))).mean(2))
        return frames, frames.amax(-1)


def run(whimbrel_program, *words, **options):
    return subprocess.run([str(whimbrel_program), *map(str, words)], capture_output=True, text=True, timeout=600, **options)


@pytest.fixture(scope="module")
def torchscript(whimbrel):
    """Skips where the program was built without it."""
    engines = json.loads(run(whimbrel, "info", "--json").stdout)["engines"]
    status = next(engine for engine in engines if engine["name"] == "torchscript")
    if not status["available"]:
        pytest.skip(status["remedy"])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(0)
    manifest = {"model": {"name": "sed", "labels": LABELS}, "input": INPUT}
    return whimbrel.export(Sed(), torch.rand(1, 3, 16, 41), tmp_path_factory.mktemp("sed"), manifest)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    random = np.random.default_rng(0)
    for i in range(3):
        tone = np.sin(2 * np.pi * 900 * (i + 1) * np.arange(16000 * 7) / 16000)
        soundfile.write(folder / f"{i}.wav", 0.3 * tone + 0.05 * random.standard_normal(tone.size), 16000)
    return folder


def scores(program, recordings, model, out, *words):
    result = run(program, "predict", recordings, "--model", model, "--out", out, "--format", "npy", *words)
    assert result.returncode == 0, result.stderr
    return np.load(out / "scores.npy"), json.loads((out / "run.json").read_text())["models"][0]


def test_the_file_says_what_its_outputs_are_called(exported):
    extra = {"whimbrel.json": ""}
    torch.jit.load(exported["torchscript"], _extra_files=extra)
    recorded = json.loads(extra["whimbrel.json"])
    assert recorded["input"] == {"name": "input", "shape": [-1, 3, 16, 41]}
    assert recorded["outputs"] == ["framewise_logits", "clipwise_logits"]


@pytest.mark.parametrize("batch", [1, 4])
def test_torchscript_scores_as_onnx_runtime_does(whimbrel, torchscript, exported, recordings, tmp_path, batch):
    found, used = scores(
        whimbrel, recordings, exported["torchscript"], tmp_path / "pt", "--engine", "torchscript", "--batch", batch
    )
    expected, _ = scores(whimbrel, recordings, exported["onnx"], tmp_path / "onnx", "--engine", "onnxruntime")
    assert used["engine"] == "torchscript" and used["engine_version"].count(".") == 2
    assert expected.std() > 1e-3  # or the comparison would say nothing
    assert np.abs(found - expected).max() < 1e-3


def test_auto_takes_torchscript_for_a_pt_file_at_any_number_of_workers(whimbrel, torchscript, exported, recordings, tmp_path):
    found = []
    for workers in (1, 3):
        rows, used = scores(
            whimbrel, recordings, exported["torchscript"], tmp_path / str(workers), "--threads", workers, "--batch", 3
        )
        assert used["engine"] == "torchscript"
        found.append(rows)
    assert np.array_equal(*found)


def test_info_tells_what_a_pt_file_is(whimbrel, torchscript, exported):
    info = json.loads(run(whimbrel, "info", exported["torchscript"], "--json").stdout)
    assert info["format"] == "torchscript" and info["parameters"] == exported["parameters"]
    assert info["outputs"][1] == {"name": "clipwise_logits", "shape": [-1, 6], "type": "float32"}
    assert "unknown multiply-accumulates" in run(whimbrel, "info", exported["torchscript"]).stdout


def test_another_engine_refuses_a_pt_file(whimbrel, exported, recordings, tmp_path):
    words = ["predict", recordings, "--model", exported["torchscript"], "--out", tmp_path / "out", "--engine", "openvino"]
    result = run(whimbrel, *words)
    assert result.returncode == 2
    assert "this engine reads .onnx, .xml, .tflite; use another engine" in result.stderr


def test_where_the_engine_is_missing_it_is_said_how_to_get_it(whimbrel, exported, recordings, tmp_path):
    (tmp_path / "empty").mkdir()
    words = ["predict", recordings, "--model", exported["torchscript"], "--out", tmp_path / "out"]
    result = run(whimbrel, *words, env={"WHIMBREL_ENGINE_PATH": str(tmp_path / "empty")})
    assert result.returncode == 2
    assert "whimbrel-torchscript.so); pip install torch==2.13.0, configure and build again" in result.stderr
    assert result.stderr.count("\n") == 1
