"""`whimbrel export`: timm names, Python files, checkpoints, and what the command says and returns."""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import safetensors.torch
import torch
from whimbrel.export import ExportError, networks
from whimbrel.export.__main__ import main
from whimbrel.export.graph import probe_row

ROOT = pathlib.Path(__file__).resolve().parents[2]
FRONT_END = """[input]
kind = "mel"
sample_rate_hz = 32000
window_s = 5.0
channels = 3
[input.mel]
n_fft = 2048
hop_samples = 512
n_mels = 128
f_min_hz = 20
f_max_hz = 16000
top_db = 80.0
normalize = "minmax"
"""
ROW = (3, 128, 313)
NETWORK = """
import torch
from neighbour import CLASSES

class Net(torch.nn.Module):
    def __init__(self, classes=CLASSES):
        super().__init__()
        self.body = torch.nn.Conv2d(3, 8, 3, stride=4)
        self.norm = torch.nn.BatchNorm2d(8)
        self.head = torch.nn.Linear(8, classes)

    def forward(self, x):
        return self.head(self.norm(self.body(x)).relu().mean((2, 3)))

def build(name, seed):
    assert isinstance(seed, int)
    torch.manual_seed(seed)
    return Net(), ["scores"]

def broken():
    raise ValueError("no such network")

def text():
    return "text"
"""

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")  # TorchScript is what we are asked to write


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A user's folder: front end, labels, a network in a Python file."""
    (tmp_path / "fe.toml").write_text(FRONT_END)
    (tmp_path / "labels.txt").write_text("".join(f"c{i:03}\n" for i in range(4)))
    (tmp_path / "neighbour.py").write_text("CLASSES = 4\n")
    (tmp_path / "net.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, model, *arguments):
    """Exit code, the JSON object on stdout, and the lines on stderr."""
    words = [model, "--front-end", "fe.toml", "--labels", "labels.txt", "-o", "out", *arguments, "--json"]
    code = main([word for word in words if word is not None])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err.splitlines()


# --- the whole way


def test_export_is_one_thing_however_it_is_imported():
    script = """
import sys
import whimbrel
first = whimbrel.export
import whimbrel.export
from whimbrel import export
assert "torch" not in sys.modules, "importing is not cheap"
assert whimbrel.export is first is export and callable(export) and "example" in export.__call__.__doc__
try:
    whimbrel.export(None, None, "out", {"model": {"labels": []}})
except whimbrel.export.ExportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "manifest: model.labels: no labels, expected one class a line\n"


def test_the_module_is_the_command_and_keeps_stdout_for_the_result(folder):
    words = ["net.py:build:b0:3", "--front-end", "fe.toml", "--labels", "labels.txt", "-o", "out"]
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "whimbrel.export"]
    done = subprocess.run([*command, *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "out/b0.toml\n"), done.stderr
    assert all(line.startswith("export: ") for line in done.stderr.splitlines())
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "b0.onnx",
        "b0.probe.npy",
        "b0.pt",
        "b0.toml",
        "labels.txt",
    ]


def test_the_program_hands_export_over_and_reads_what_it_wrote(whimbrel, folder):
    words = ["net.py:build:b0:3", "--front-end", "fe.toml", "--labels", "labels.txt", "-o", "out", "--quiet"]
    done = subprocess.run([whimbrel, "export", *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out/b0.toml\n", "")
    info = subprocess.run([whimbrel, "info", "out/b0.toml", "--json"], capture_output=True, text=True)
    assert info.returncode == 0, info.stderr


def test_a_factory_gives_module_and_names_and_may_import_its_neighbours(folder, capsys):
    code, report, _ = run(capsys, "net.py:build:b0:3", "--activation", "softmax", "--name", "mine")
    assert code == 0 and report["outputs"] == [{"name": "scores", "shape": [-1, 4]}]
    assert tomllib.loads((folder / "out/mine.toml").read_text())["output"] == {"clip": "scores", "activation": "softmax"}
    module, names, name = networks.load_network("net.py:build:b0:3", 4, ROW)
    assert (names, name, module.training) == (["scores"], "b0", False)
    with torch.no_grad():
        expected = module(torch.from_numpy(probe_row(ROW))).numpy()
    np.testing.assert_allclose(np.load(report["probe"]), expected[0], rtol=1e-6)
    assert str(folder) not in sys.path


# --- checkpoints


def checkpoints():
    def wrap(key):
        return lambda state: {key: state, "epoch": 3}

    def prefix(text):
        return lambda state: {text + name: value for name, value in state.items()}

    return {
        "plain": lambda state: state,
        "state_dict": wrap("state_dict"),
        "model": wrap("model"),
        "model_state_dict": lambda state: wrap("model_state_dict")(prefix("module.")(state)),
        "lightning": lambda state: wrap("state_dict")(prefix("model.")(state)),
        "compiled": lambda state: prefix("module._orig_mod.")(state),
        "half": lambda state: {k: v.half() if v.is_floating_point() else v for k, v in state.items()},
        "no counters": lambda state: {k: v for k, v in state.items() if "num_batches" not in k},
    }


@pytest.mark.parametrize("kind", [*checkpoints(), "safetensors"])
def test_a_checkpoint_of_any_wrapping_fits(folder, kind):
    trained, _, _ = networks.load_network("net.py:build:b0:7", 4, ROW)
    if kind == "safetensors":
        safetensors.torch.save_file(trained.state_dict(), "w.safetensors")
    else:
        torch.save(checkpoints()[kind](trained.state_dict()), "w.pth")
    file = "w.safetensors" if kind == "safetensors" else "w.pth"
    module, _, _ = networks.load_network("net.py:build:b0:1", 4, ROW, file)
    for name, value in module.state_dict().items():
        expected = trained.state_dict()[name]
        assert torch.equal(value, expected.half().float() if kind == "half" and value.is_floating_point() else expected), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("head.bias"), r"1 missing \(head.bias\); check"),
        (lambda s: [s.pop(k) for k in list(s)[:5]], r"5 missing \(body.weight, body.bias, norm.weight and 2 more\)"),
        (
            lambda s: s.update({"fc.bias": torch.zeros(3)}),
            r"does not fit the network's 9 tensors: 1 unexpected \(fc.bias\); check",
        ),
        (lambda s: s.update({"head.bias": torch.zeros(3)}), r"1 of another shape \(head.bias is \[3\], expected \[4\]\)"),
        (lambda s: (s.clear(), s.update(epoch=3)), "holds no tensors by name, expected a state dict"),
        (lambda s: s.update(code=pathlib.Path), "cannot be read as plain tensors: .*torch.save"),
    ],
)
def test_a_checkpoint_that_does_not_fit_says_what_and_how_many(folder, change, message):
    state = dict(networks.load_network("net.py:Net", 4, ROW)[0].state_dict())
    change(state)
    torch.save(state, "w.pth")
    with pytest.raises(ExportError, match=message) as caught:
        networks.load_network("net.py:Net", 4, ROW, "w.pth")
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_a_file_that_is_no_checkpoint_is_refused(folder):
    for name, message in (
        ("fe.toml", "fe.toml (is not a checkpoint|cannot be read)"),
        ("absent.pth", "absent.pth: no such file"),
    ):
        with pytest.raises(ExportError, match=message):
            networks.load_network("net.py:Net", 4, ROW, name)


# --- wrong input


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("timm:tf_eficientnet_b0", [], r'has no model .*did you mean "tf_efficientnet_b0"'),
        ("timm:hf-hub:someone/some", [], "has no model 'hf-hub:someone/some', expected one of timm.list_models"),
        ("timm:tf_efficientnet_b0.no_such_tag", [], "cannot create 'tf_efficientnet_b0.no_such_tag': .*; leave out the tag"),
        ("tf_efficientnet_b0", [], "expected timm:NAME .* or FILE.py:FUNCTION"),
        ("absent.py:build", [], "absent.py: no such file"),
        ("net.py:built", [], "net.py has no function 'built'; it has .*build"),
        ("net.py:broken", [], "net.py:broken: ValueError: no such network"),
        ("net.py:text", [], "net.py:text returned str, expected a torch.nn.Module"),
        ("net.py:Net:5", [], r"outputs are \[batch, 5\], expected clip-wise \[batch, 4\]"),
        ("net.py:Net", ["--num-classes", "264"], "labels.txt has 4 labels, --num-classes is 264"),
        ("net.py:Net", ["--in-chans", "1"], "--in-chans is 1, fe.toml has channels = 3"),
        ("net.py:Net", ["--front-end", "absent.toml"], "absent.toml: No such file or directory"),
        ("net.py:Net", ["--front-end", "labels.txt"], "labels.txt is not TOML"),
        ("net.py:Net", ["--labels", "absent.txt"], "absent.txt: No such file or directory"),
        ("net.py:Net", ["--tolerance", "x"], "argument --tolerance: invalid float value"),
        ("net.py:Net", ["--speed"], "unrecognized arguments: --speed; see whimbrel export --help"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(folder, capsys, model, arguments, message):
    code, report, lines = run(capsys, model, *arguments)
    assert code == report["exit_code"] == 2
    assert re.search(message, report["error"]["message"]), report["error"]["message"]
    errors = [line for line in lines if not line.startswith("export: ")]
    assert errors == [f"whimbrel: {report['error']['message']}"]
    assert not (folder / "out").exists()


def test_a_folder_that_cannot_be_written_is_fatal(folder, capsys):
    (folder / "out").write_text("a file")
    code, report, _ = run(capsys, "net.py:Net")
    assert code == 3 and report["error"]["code"] == "io" and "out: File exists" in report["error"]["message"]


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for option in (
        "--num-classes",
        "--checkpoint",
        "--front-end",
        "--labels",
        "--out",
        "--json",
        "timm:NAME",
        "FILE.py:FUNCTION",
    ):
        assert option in text


# --- the networks of the reference job


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone", ["eca_nfnet_l0", "tf_efficientnet_b0", "tf_efficientnet_b3", "tf_efficientnetv2_s", "tf_efficientnetv2_m"]
)
def test_a_backbone_of_the_reference_job_exports(folder, capsys, backbone):
    (folder / "labels.txt").write_text("".join(f"c{i:03}\n" for i in range(264)))
    code, report, lines = run(capsys, f"timm:{backbone}", "--num-classes", "264")
    assert code == 0, lines
    assert report["exporter"] == "dynamo" and report["outputs"] == [{"name": "logits", "shape": [-1, 264]}]
    assert report["onnx_bytes"] < 4 * report["parameters"] + 2e5  # each weight once, and the graph
    assert {node.domain for node in onnx.load(report["onnx"], load_external_data=False).graph.node} == {""}
    # Quiet input: with random weights tf_efficientnetv2_m amplifies rounding until nothing can be compared.
    x = np.random.default_rng(0).random((2, *ROW), np.float32) * 0.05
    expected = onnxruntime.InferenceSession(report["onnx"]).run(None, {"input": x})[0]
    compiled = openvino.Core().compile_model(report["onnx"], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled(x)[0], expected, atol=1e-3 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tf_efficientnet_b0.sed", "tf_efficientnetv2_s.cnn"])
def test_a_trained_network_exports_and_answers_alike(shared, tmp_path, capsys, name):
    models = shared / "models"
    words = [
        f"{models}/dawn_models.py:build:{name}",
        "--front-end",
        models / "front_end.toml",
        "--labels",
        models / "labels.txt",
    ]
    code = main([*map(str, words), "-o", str(tmp_path), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code == 0 and report["max_difference_onnxruntime"] < 1e-3 and report["max_difference_torchscript"] < 1e-3
    frames = [{"name": "clipwise_logits", "shape": [-1, 24]}, {"name": "framewise_logits", "shape": [-1, 24, 5]}]
    assert report["outputs"] == (frames if name.endswith("sed") else [{"name": "logits", "shape": [-1, 24]}])
    answer = onnxruntime.InferenceSession(report["onnx"]).run(None, {"input": probe_row((3, 128, 157))})[0]
    np.testing.assert_allclose(np.load(report["probe"]), answer[0], atol=1e-3)
