"""whimbrel.export and `whimbrel export`: PyTorch -> ONNX, TorchScript and a manifest."""

import pathlib
import tomllib

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch
import whimbrel
from whimbrel.export import ExportError, manifest
from whimbrel.export.graph import probe_row

LABELS = [f"Genus species{i}_Bird {i}" for i in range(6)]
MEL = {"n_fft": 512, "hop_samples": 400, "n_mels": 16, "f_max_hz": 8000, "top_db": 80.0, "normalize": "minmax"}
INPUT = {"kind": "mel", "sample_rate_hz": 16000, "window_s": 1.0, "channels": 1, "mel": MEL}
ROW = (1, 16, 41)  # 1 + 16000 // 400 frames
MANIFEST = {"model": {"name": "sed", "labels": LABELS}, "input": INPUT}

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")  # TorchScript is what we are asked to write


class Sed(torch.nn.Module):
    """Standardized weights and batch normalization, as the large ones have; clip-wise and frame-wise logits."""

    def __init__(self, classes=6):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.wide = torch.nn.Conv2d(8, 256, 3, padding=1)
        self.head = torch.nn.Conv1d(256, classes, 1)

    def forward(self, x):
        x = torch.nn.functional.silu(self.norm(self.conv(x)))
        weight = self.wide.weight
        mean, std = weight.mean((1, 2, 3), keepdim=True), weight.std((1, 2, 3), keepdim=True)
        x = torch.nn.functional.conv2d(x, (weight - mean) / std, self.wide.bias, padding=1)
        frames = self.head(x.mean(2))
        return (torch.softmax(frames, -1) * frames).sum(-1), frames


class Linear(torch.nn.Module):
    """One line of arithmetic, with what a test wants done to it."""

    def __init__(self, change=lambda y: y, size=16 * 41, bias=True):
        super().__init__()
        torch.manual_seed(0)
        self.fc = torch.nn.Linear(size, len(LABELS), bias)
        self.change = change

    def forward(self, x):
        return self.change(self.fc(x.flatten(1)))


def seeded(make):
    torch.manual_seed(0)
    return make()


def answers(module, x):
    with torch.no_grad():
        outputs = module.eval()(torch.from_numpy(x))
    return [o.numpy() for o in (outputs if isinstance(outputs, tuple) else (outputs,))]


def random_input(batch, row=ROW):
    return np.random.default_rng(batch).random((batch, *row), np.float32)


def export(module, out, **tables):
    row = manifest.row_shape(manifest.check_input(tables.get("input", INPUT), "test"))
    return whimbrel.export(module, torch.rand(1, *row), out, {**MANIFEST, **tables})


def text(path):
    return pathlib.Path(path).read_text()


def read_manifest(report):
    return tomllib.loads(text(report["manifest"]))


def run_openvino(path, x):
    # float32, or OpenVINO computes in bfloat16 where the CPU can.
    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return list(model(x).values())


def run_onnxruntime(path, x):
    return onnxruntime.InferenceSession(path).run(None, {"input": x})


def run_torchscript(path, x):
    with torch.no_grad(), torch.jit.optimized_execution(False):
        return answers(torch.jit.load(path), x)


ENGINES = {"onnx": [run_onnxruntime, run_openvino], "torchscript": [run_torchscript]}


@pytest.fixture(scope="module")
def sed():
    return seeded(Sed)


@pytest.fixture(scope="module")
def exported(sed, tmp_path_factory):
    return export(sed.train(), tmp_path_factory.mktemp("sed"))


# --- what is written


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_every_file_answers_as_pytorch_does_at_any_batch(sed, exported, batch):
    x = random_input(batch)
    for file, engines in ENGINES.items():
        for run in engines:
            for found, expected in zip(run(exported[file], x), answers(sed, x), strict=True):
                np.testing.assert_allclose(found, expected, atol=1e-5)  # float32 sums over 2304 products of values below 4


def test_the_onnx_file_is_standard_and_names_nothing_of_this_machine(exported):
    model = onnx.load(exported["onnx"])
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    assert {node.domain for node in model.graph.node} == {""}
    onnx.checker.check_model(model, full_check=True)
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert b"test_export" not in model.SerializeToString()


def test_inputs_and_outputs_have_names_and_a_free_batch_axis_only(exported):
    graph = onnx.load(exported["onnx"]).graph
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in [*graph.input, *graph.output]}
    clip, frame = ["batch", 6], ["batch", 6, 41]
    assert shapes == {"input": ["batch", *ROW], "clipwise_logits": clip, "framewise_logits": frame}


def test_constants_are_folded_and_no_weight_is_stored_twice(sed, exported):
    graph = onnx.load(exported["onnx"]).graph
    stored = sum(onnx.numpy_helper.to_array(t).nbytes for t in graph.initializer)
    weights = sum(4 * p.numel() for p in sed.parameters())
    assert weights - 200 < stored < weights + 1000  # batch normalization folds away; a few shapes and axes come
    assert not {node.op_type for node in graph.node} & {"BatchNormalization", "Sub", "Sqrt", "Identity", "Constant"}


def test_the_manifest_says_all_that_the_network_is_fed(exported):
    found = read_manifest(exported)
    assert found["model"] == {"name": "sed", "file": "sed.onnx", "labels": "labels.txt", "weight": 1.0}
    assert found["output"] == {
        "clip": "clipwise_logits",
        "frame": "framewise_logits",
        "frame_axis": "class_first",
        "activation": "sigmoid",
    }
    assert found["probe"] == {"output": "sed.probe.npy", "tolerance": 1e-3}
    defaults = {
        "win_length": 512,
        "f_min_hz": 0,
        "scale": "slaney",
        "norm": "slaney",
        "power": 2,
        "center": True,
        "pad": "reflect",
    }
    mel = {**MEL, **defaults, "level": "db", "ref": "one", "amin": 1e-10}
    assert found["input"] == {**INPUT, "hop_s": 1.0, "mel": mel}
    assert text(exported["labels"]) == "\n".join(LABELS) + "\n"


def test_the_probe_is_pytorchs_answer_to_the_known_input(sed, exported):
    x = probe_row(ROW)
    np.testing.assert_allclose(x.ravel()[:4], [0, 0.40834904, 0.81669813, 0.32791001], rtol=1e-7)  # docs/manifest.md
    probe = np.load(exported["probe"])
    assert probe.dtype == np.float32 and probe.shape == (6,)
    np.testing.assert_allclose(probe, answers(sed, x)[0][0], atol=1e-6)  # another number of threads sums in another order


def test_the_report_has_sizes_and_differences(sed, exported):
    assert exported["parameters"] == sum(p.numel() for p in sed.parameters())
    assert exported["exporter"] == "dynamo" and exported["opset"] == 18
    assert 0 < exported["max_difference_onnxruntime"] < 1e-5 and exported["max_difference_torchscript"] < 1e-5
    assert exported["outputs"][1] == {"name": "framewise_logits", "shape": [-1, 6, 41]}


def test_the_module_is_left_as_it_was(tmp_path):
    module = seeded(Sed).double().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    export(module, tmp_path)
    assert module.training and module.conv.weight.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_half_precision_and_channels_last_are_exported_as_float(tmp_path):
    half = export(seeded(Sed).half().to(memory_format=torch.channels_last), tmp_path)
    rounded = seeded(Sed).half().float()
    for found, expected in zip(run_onnxruntime(half["onnx"], random_input(2)), answers(rounded, random_input(2)), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_same_network_gives_the_same_bytes(tmp_path, exported):
    again = export(seeded(Sed), tmp_path)
    assert pathlib.Path(again["onnx"]).read_bytes() == pathlib.Path(exported["onnx"]).read_bytes()


def test_a_dict_of_outputs_keeps_its_names_and_finds_their_roles(tmp_path):
    class Dict(Sed):
        def forward(self, x):
            clip, frames = super().forward(x)
            return {"frames": frames.transpose(1, 2), "scores": clip, "vector": x.mean((1, 2))[:, :5]}

    report = export(seeded(Dict), tmp_path)
    output = read_manifest(report)["output"]
    roles = {"clip": "scores", "frame": "frames", "frame_axis": "class_last", "embedding": "vector", "activation": "sigmoid"}
    assert output == roles
    found = dict(zip(["frames", "scores", "vector"], run_onnxruntime(report["onnx"], random_input(3)), strict=True))
    np.testing.assert_allclose(found["scores"], answers(seeded(Sed), random_input(3))[0], atol=1e-5)


def test_a_waveform_network_is_fed_samples(tmp_path):
    table = {"kind": "waveform", "sample_rate_hz": 8000, "window_s": 0.5}
    report = export(Linear(size=4000), tmp_path, input=table, output={"activation": "softmax", "logit_clip": 15})
    assert report["input"]["shape"] == [-1, 4000]
    found = read_manifest(report)
    assert found["input"] == {**table, "hop_s": 0.5, "channels": 1}
    assert found["output"] == {"clip": "logits", "activation": "softmax", "logit_clip": 15.0}


def test_a_manifest_may_be_the_path_of_an_older_one(exported, tmp_path):
    report = whimbrel.export(seeded(Sed), torch.rand(2, *ROW), tmp_path, exported["manifest"])
    assert text(report["manifest"]) == text(exported["manifest"])


# --- what is refused


def during_export(y):
    return torch.compiler.is_exporting() or torch.compiler.is_compiling() or torch.jit.is_tracing()


def test_what_dynamo_cannot_export_the_torchscript_exporter_does(tmp_path):
    report = export(Linear(lambda y: y if y.sum() > -1e9 else -y), tmp_path)
    assert report["exporter"] == "torchscript"
    np.testing.assert_allclose(
        run_onnxruntime(report["onnx"], random_input(4))[0], answers(Linear(), random_input(4))[0], atol=1e-5
    )


@pytest.mark.parametrize(
    ("change", "who"),
    [
        (lambda y: y + 0.01 if during_export(y) else y, "ONNX Runtime"),
        (lambda y: y * 1e-6 if during_export(y) else y * 1.01e-6, "ONNX Runtime"),  # absolutely, it would pass
        (lambda y: y + 0.01 if torch.jit.is_tracing() else y, "TorchScript"),
    ],
)
def test_a_file_that_answers_otherwise_is_refused_and_nothing_is_left(tmp_path, change, who):
    with pytest.raises(ExportError, match=f"{who}: logits differs from PyTorch by .*, expected at most") as caught:
        export(Linear(change), tmp_path / "new")
    assert caught.value.code == "engine" and caught.value.exit_code == 3
    assert not (tmp_path / "new").exists()


def test_a_batch_that_becomes_a_constant_is_refused(tmp_path):
    with pytest.raises(ExportError, match="no ONNX file that answers as PyTorch does"):
        export(Linear(lambda y: y.reshape(int(y.shape[0]), -1) * (1 + torch.zeros(int(y.shape[0]) * 2 // 2, 1))), tmp_path)


def test_a_failed_export_leaves_the_earlier_one_as_it_was(tmp_path):
    export(Linear(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(before) == ["labels.txt", "sed.onnx", "sed.probe.npy", "sed.pt", "sed.toml"]
    with pytest.raises(ExportError):
        export(Linear(lambda y: y + 1 if during_export(y) else y), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_models_of_one_folder_share_their_labels_or_are_refused(tmp_path):
    for name in ("a", "b"):
        export(Linear(), tmp_path, model={"name": name, "labels": LABELS})
    with pytest.raises(ExportError, match=r"labels.txt has other labels, and a.toml needs them"):
        export(Linear(), tmp_path, model={"name": "c", "labels": LABELS[::-1]})
    assert not list(tmp_path.glob("*c*.onnx")) and text(tmp_path / "labels.txt").split("\n")[:-1] == LABELS


def test_a_network_that_amplifies_rounding_is_compared_where_it_does_not(tmp_path):
    report = export(Linear(lambda y: torch.sin(1e6 * y), bias=False), tmp_path)  # quieter input, smaller angle
    found = read_manifest(report)["probe"]["tolerance"]
    assert found == pytest.approx(10 * report["pytorch_rounding"]) and found > 0.01
    with pytest.raises(ExportError, match="on a batch of"):
        export(Linear(lambda y: torch.sin(1e6 * y) * (1.01 if during_export(y) else 1), bias=False), tmp_path)
    with pytest.raises(ExportError, match=r"rounding alone moves .*untrained or broken"):
        export(Linear(lambda y: torch.sin(1e12 * y), bias=False), tmp_path)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: Linear(lambda y: y / 0), "output is not finite"),
        (lambda: Linear(lambda y: y[:, :5]), r"outputs are \[batch, 5\], expected clip-wise \[batch, 6\]"),
        (lambda: Linear(lambda y: y.mean(0, keepdim=True)), r"an output is \[1, 6\] for a batch of 2, expected \[2, 6\]"),
        (lambda: Linear(lambda y: (y, "text")), "the network returns str, expected a tensor"),
        (lambda: Linear(lambda y: (y, y[:, :2], y[:, :3])), "which is which does not show; give output_names"),
        (lambda: Linear(size=7), r"the network fails on \[1, 1, 16, 41\]: RuntimeError: mat1 and mat2"),
        (lambda: "text", "module is str, expected a torch.nn.Module"),
    ],
)
def test_networks_that_cannot_be_used_are_refused_in_one_line(tmp_path, module, message):
    with pytest.raises(ExportError, match=message) as caught:
        export(module(), tmp_path / "new")
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2
    assert not (tmp_path / "new").exists()


def test_an_example_of_another_shape_is_refused(tmp_path):
    with pytest.raises(ExportError, match=r"example is \[1, 1, 16, 40\], expected \[n, 1, 16, 41\]"):
        whimbrel.export(Linear(), torch.rand(1, 1, 16, 40), tmp_path, MANIFEST)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": None}, "input is missing, expected a table with kind, sample_rate_hz and window_s"),
        ({"inputs": {}}, 'unknown table inputs, expected one of .* did you mean "input"?'),
        ({"model": {"name": "a/b", "labels": LABELS}}, "model.name='a/b', expected letters, digits"),
        ({"model": {"labels": []}}, "no labels, expected one class a line"),
        ({"model": {"labels": ["a", "b", "a"]}}, "label 'a' is 1 and 3, expected each class once"),
        ({"model": {"labels": ["a", " "]}}, "label 2 is ' ', expected one class a line"),
        ({"output": {"clips": "x"}}, 'unknown key output.clips, .* did you mean "clip"?'),
        ({"output": {"clip": "a", "frame": "b"}}, r"1 output\(s\) \(\[batch, 6\]\), named \['a', 'b'\]; expected a name each"),
        ({"input": {**INPUT, "window_s": 1.00001}}, "input.window_s=1.00001, expected a whole number of samples at 16000 Hz"),
        ({"input": {**INPUT, "hop_s": 2.0}}, "input.hop_s=2, expected at most window_s=1"),
        ({"input": {**INPUT, "sample_rate_hz": 16000.0}}, "input.sample_rate_hz=16000.0, expected a whole number, at least 1"),
        ({"input": {**INPUT, "kind": "waveform"}}, "input.mel, expected no such table"),
        ({"input": {**INPUT, "mel": None}}, "input.mel is missing"),
        ({"input": {"sample_rate_hz": 1}}, "input.kind, input.window_s are missing, expected kind ="),
        ({"mel": {"hop_sample": 400}}, 'unknown key input.mel.hop_sample, .* did you mean "hop_samples"?'),
        ({"mel": {**MEL, "n_mels": 0}}, "input.mel.n_mels=0, expected a whole number, at least 1, at most 512"),
        ({"mel": {**MEL, "n_fft": 511}}, "input.mel.n_fft=511, expected an even number"),
        ({"mel": {**MEL, "n_fft": 65536}}, "n_fft=65536, expected a window of at least 32769 samples, found 16000"),
        ({"mel": {**MEL, "scale": "mel"}}, 'input.mel.scale=\'mel\', expected "slaney" or "htk"'),
        ({"mel": {**MEL, "f_max_hz": 9000}}, "f_max_hz=9000.0, expected at most 8000, half of sample_rate_hz"),
        ({"mel": {**MEL, "f_min_hz": 8000}}, "f_min_hz=8000.0, expected below f_max_hz=8000"),
        ({"mel": {**MEL, "level": "log"}}, 'top_db=80.0, expected no such key unless level = "db"'),
        ({"mel": {**MEL, "normalize": "mean_std"}}, "mean='nothing', expected a number"),
        ({"mel": {**MEL, "mean": 1.0}}, "mean=1.0, expected no such key"),
        ({"mel": {"n_mels": 16}}, "input.mel.n_fft, input.mel.hop_samples are missing"),
    ],
)
def test_a_wrong_manifest_is_refused_in_one_line(tmp_path, change, message):
    if "mel" in change:
        change = {"input": {**INPUT, "mel": change["mel"]}}
    with pytest.raises(ExportError, match=message) as caught:
        tables = {name: table for name, table in {**MANIFEST, **change}.items() if table is not None}
        whimbrel.export(Linear(), torch.rand(1, *ROW), tmp_path, tables)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2
