"""`whimbrel quantize`: what it writes runs and agrees, its report tells why, and bad input leaves nothing behind."""

import csv
import json
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "examples/dawn_chorus/model/dawn_chorus.toml"
RATE = 8000  # of the small networks, which are fed samples
sys.path.insert(0, str(ROOT / "tests/data"))


def run(whimbrel, *words, **options):
    return subprocess.run([str(whimbrel), *map(str, words)], capture_output=True, text=True, timeout=600, **options)


def synthesize(folder, recordings, seconds, seed):
    command = [sys.executable, ROOT / "examples/dawn_chorus/synthesize.py", "--recordings", recordings, "--seconds", seconds]
    command += ["--seed", seed, "--formats", "wav", "-o", folder]
    subprocess.run([*map(str, command)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    return synthesize(tmp_path_factory.mktemp("recordings"), 4, 60, 21)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Two recordings of 4 s: 20 windows each of the small networks."""
    folder = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(3)
    for i in range(2):
        soundfile.write(folder / f"noise{i}.wav", 0.2 * rng.standard_normal(4 * RATE).astype(np.float32), RATE)
    return folder


# --- small networks, fed 0.2 s of samples at 8 kHz


def save_network(folder, nodes, weights, output="y", opset=17, name="net"):
    """A model of 4 classes and its manifest; the path of the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["batch", 1600])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(value, key) for key, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9), folder / f"{name}.onnx")
    (folder / "labels.txt").write_text("".join(f"class {i}\n" for i in range(4)))
    lines = ["[model]", f'name = "{name}"', f'file = "{name}.onnx"', 'labels = "labels.txt"', "[input]", 'kind = "waveform"']
    lines += [f"sample_rate_hz = {RATE}", "window_s = 0.2", "hop_s = 0.2", "[output]", 'activation = "sigmoid"']
    (folder / f"{name}.toml").write_text("\n".join(lines) + "\n")
    return folder / f"{name}.toml"


def convolutions():
    """Convolutions over one channel, a multiple of four, and six, then a product."""
    rng = np.random.default_rng(7)
    shapes = {"first": (16, 1, 9), "second": (6, 16, 3), "third": (8, 6, 3), "head": (4, 8)}
    weights = {name: rng.uniform(-0.5, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    weights["axis_1"] = np.array([1], np.int64)
    at = "plane"
    nodes = [helper.make_node("Unsqueeze", ["samples", "axis_1"], [at])]
    for name in ("first", "second", "third"):
        nodes.append(helper.make_node("Conv", [at, name], [f"{name}_y"], name, strides=[4 if name == "first" else 1]))
        nodes.append(helper.make_node("Relu", [f"{name}_y"], [f"{name}_relu"]))
        at = f"{name}_relu"
    nodes += [
        helper.make_node("GlobalAveragePool", [at], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head"], ["logits"], "head", transB=1),
        helper.make_node("Tanh", ["logits"], ["y"]),
    ]
    return nodes, weights


# --- networks that are quantized. Each takes some 20 s, most of it measuring: they run side by side, since no test asks how
# fast anything is.


@pytest.fixture(scope="module")
def quantized(whimbrel, recordings, noise, tmp_path_factory):
    """Function of a name -> (output, report, stdout)."""
    import front_end_inside

    folder = tmp_path_factory.mktemp("quantized")
    inside = front_end_inside.write(MODEL, folder / "fp32_inside")
    small = save_network(folder / "fp32_small", *convolutions())
    # Without a limit nothing returns to float for its error, which leaves all that can be integer so.
    common = ["--threads", 1, "--max-drop", 1]
    dawn = ["--calibrate", recordings, "--observer", "mse", *common, "--samples"]
    jobs = {
        "onnxruntime": [MODEL, *dawn, 24, "--target", "onnxruntime"],
        "openvino": [MODEL, *dawn, 24, "--target", "openvino"],
        "inside": [inside, *dawn, 8, "--target", "onnxruntime"],
        "avx2": [small, "--calibrate", noise, "--isa", "avx2", "--target", "onnxruntime", "--json", *common],
    }
    started = {}
    for name, words in jobs.items():
        out = folder / name / "int8.onnx"
        words = [whimbrel, "quantize", *words, "-o", out, "--report", folder / name / "report.json"]
        out.parent.mkdir()
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started[name] = out, subprocess.Popen([*map(str, words)], **pipes)
    finished = {}

    def result(name):
        if name not in finished:
            out, process = started[name]
            stdout, stderr = process.communicate(timeout=300)
            assert process.returncode == 0, stderr
            assert not list(out.parent.glob(".whimbrel*"))
            warnings = [line for line in stderr.splitlines() if "warning" in line]
            assert all("windows to certify on" in line for line in warnings), stderr
            finished[name] = out, json.loads((out.parent / "report.json").read_text()), stdout
        return finished[name]

    yield result
    for _, process in started.values():
        if process.poll() is None:
            process.kill()
            process.communicate()


def scores_of(whimbrel, manifest, recordings, out, *words):
    result = run(whimbrel, "predict", recordings, "--model", manifest, "--out", out, "--format", "npy", "--quiet", *words)
    assert result.returncode == 0, result.stderr
    return np.load(out / "scores.npy")


def detections_f1(reference, other):
    a, b = reference >= 0.5, other >= 0.5
    return 2 * (a & b).sum() / (a.sum() + b.sum())


both_targets = pytest.mark.parametrize("target", ["onnxruntime", "openvino"])


@both_targets
def test_what_is_written_runs_and_hears_what_fp32_hears(whimbrel, quantized, recordings, tmp_path, target):
    out, report, stdout = quantized(target)
    assert report["verdict"] in stdout and str(out) in stdout
    assert {p.name for p in out.parent.iterdir()} == {
        "int8.onnx",
        "int8.toml",
        "int8.probe.npy",
        "labels.txt",
        "report.json",
    }
    reference = scores_of(whimbrel, MODEL, recordings, tmp_path / "fp32")
    scores = scores_of(whimbrel, out.with_suffix(".toml"), recordings, tmp_path / "int8", "--engine", target)
    assert scores.shape == reference.shape
    assert not np.array_equal(scores, reference)
    # Measured 0.99; a scale, a bias or a layer that is wrong finds nothing in common.
    assert detections_f1(reference, scores) > 0.93


@both_targets
def test_the_report_accounts_for_every_product(whimbrel, quantized, target):
    _, report, _ = quantized(target)
    assert report["engine"] == target and report["verdict"]
    products = report["products"]
    network = onnx.load(MODEL.with_suffix(".onnx"))
    assert len(products) == sum(node.op_type in ("Conv", "Gemm", "MatMul") for node in network.graph.node)
    for product in products:
        assert product["integer"] == (not product.get("why_float")), product
        assert product["kernel"] or product.get("why_float"), product
    total = sum(p["macs"] for p in products)
    counted = json.loads(run(whimbrel, "info", MODEL, "--json").stdout)["macs"]  # by OpenVINO's shapes
    assert total == counted
    # A busy machine may find some layer slower as INT8 and return it.
    integer = sum(p["macs"] for p in products if p["integer"] or p["why_float"].startswith("returned: the network"))
    assert integer / total > 0.5
    share = sum(p["macs"] for p in products if p["integer"]) / total
    assert report["integer_macs_share"] == pytest.approx(share)


@both_targets
def test_the_numbers_of_the_report_fit_together(quantized, target):
    _, report, _ = quantized(target)
    assert report["calibration_windows"] == report["certification_windows"] == 24
    assert report["observer"] == "mse" and report["isa"] == "native" and report["max_drop"] == 1
    assert set(report["sqnr_db"]) == {"clipwise_logits", "framewise_logits"}
    assert all(db > 15 for db in report["sqnr_db"].values()), report["sqnr_db"]  # measured 29
    assert 0 <= report["top1_agreement"] <= 1 and report["detections_f1"] > 0.9
    speed = report["speed"]
    assert 0 < speed["ratio_low"] <= speed["ratio"] <= speed["ratio_high"]
    assert all(value > 0 for value in speed.values())
    assert report["keep_fp32"] == report["verdict"].startswith("keep FP32")


@both_targets
def test_the_model_itself_carries_the_verdict(quantized, target):
    out, report, _ = quantized(target)
    model = onnx.load(out)
    verdict = json.loads({p.key: p.value for p in model.metadata_props}["whimbrel.int8"])
    assert verdict["verdict"] == report["verdict"] and verdict["keep_fp32"] == report["keep_fp32"]
    assert verdict["engine"] == target and verdict["source"] == "dawn_chorus.onnx"
    assert re.fullmatch("[0-9a-f]{32}", verdict["source_hash"])


@both_targets
def test_the_file_is_valid_onnx_in_standard_operators(quantized, target):
    out, _, _ = quantized(target)
    model = onnx.load(out)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""} and [o.domain for o in model.opset_import] == [""]
    assert out.stat().st_size < 0.5 * MODEL.with_suffix(".onnx").stat().st_size
    types = [node.op_type for node in model.graph.node]
    assert types.count("DequantizeLinear") > types.count("QuantizeLinear") > 10
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    row = np.zeros([2, 1, 64, 251], np.float32)  # the batch is free
    assert [y.shape[0] for y in session.run(None, {session.get_inputs()[0].name: row})] == [2, 2]


def test_the_manifest_is_the_float_models_with_another_file_and_probe(quantized):
    import tomllib

    out, _, _ = quantized("onnxruntime")
    ours, theirs = (tomllib.loads(path.read_text()) for path in (out.with_suffix(".toml"), MODEL))
    assert ours["model"]["file"] == "int8.onnx" and ours["probe"]["output"] == "int8.probe.npy"
    assert ours["input"] == theirs["input"] and ours["output"] == theirs["output"]
    float_probe = np.load(MODEL.parent / "dawn_chorus.probe.npy")
    probe = np.load(out.with_suffix(".probe.npy"))
    assert probe.shape == float_probe.reshape(-1).shape
    assert np.abs(probe - float_probe.reshape(-1)).max() < ours["probe"]["tolerance"]


def test_a_front_end_inside_the_graph_stays_in_float(quantized):
    _, report, _ = quantized("inside")
    inside = {p["name"]: p for p in report["products"] if p["name"].startswith("front_end/")}
    assert len(inside) == 3  # real and imaginary part, mel bands
    for product in inside.values():
        assert not product["integer"] and product["why_float"] == "belongs to the front end inside the graph"
    others = [p for p in report["products"] if p["name"] not in inside]
    assert sum(p["integer"] or p["why_float"].startswith("returned") for p in others) > 40
    assert report["detections_f1"] > 0.85  # few detections in eight windows: two of them may flip


def pairs_of(weights):
    """All pairs that a kernel without VNNI adds in 16 bits: [outputs, pairs, 2]."""
    outputs, inputs, taps = weights.shape
    if inputs == 1:
        inputs, taps, weights = taps, 1, weights.reshape(outputs, taps, 1)
    rows = weights.transpose(0, 2, 1).astype(np.int32)
    if inputs % 4 == 0:
        return rows.reshape(outputs, -1, 2)
    row = rows.reshape(outputs, -1)
    return np.stack([row[:, :-1], row[:, 1:]], -1)


def can_saturate(weights):
    """Per output: two activations of 255 times a pair leave 16 bits."""
    pairs = pairs_of(weights)
    sums = [255 * np.where(sign * pairs > 0, sign * pairs, 0).sum(-1) for sign in (1, -1)]
    return (np.maximum(sums[0], sums[1] - 1) > 32767).any(1)


def test_weights_for_avx2_never_saturate(quantized):
    out, report, _ = quantized("avx2")
    found = {t.name: numpy_helper.to_array(t) for t in onnx.load(out).graph.initializer if t.data_type == TensorProto.INT8}
    narrowed = 0
    seen = 0
    for name, weights in convolutions()[1].items():
        if weights.dtype != np.float32:
            continue
        weights = weights.reshape(*weights.shape[:2], -1)
        scale = np.abs(weights).max((1, 2), keepdims=True) / 127
        narrowed += can_saturate(np.rint(weights / scale)).sum()
        integers = next((v for key, v in found.items() if key == f"{name}_weights_quantized"), None)
        if integers is None:
            assert next(p for p in report["products"] if p["name"] == name)["why_float"].startswith("returned")
            continue
        seen += 1
        assert not can_saturate(integers.reshape(weights.shape)).any(), name
    assert seen > 0 and narrowed > 5
    assert report["narrowed_channels"] == narrowed and report["isa"] == "avx2"


def test_json_prints_the_certificate_and_nothing_else(quantized):
    _, report, stdout = quantized("avx2")
    assert json.loads(stdout) == report


def test_an_output_in_openvinos_own_format(whimbrel, noise, tmp_path):
    if run(whimbrel, "convert", "--help").returncode != 0:
        pytest.skip("no `whimbrel convert` in this build, which writes .xml")
    model = save_network(tmp_path / "m", *convolutions())
    words = ["--calibrate", noise, "--target", "openvino", "--threads", 1, "--max-drop", 1, "--observer", "minmax", "--json"]
    result = run(whimbrel, "quantize", model, *words, "-o", tmp_path / "out/int8.xml")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["engine"] == "openvino"
    assert (tmp_path / "out/int8.bin").exists()
    assert scores_of(whimbrel, tmp_path / "out/int8.toml", noise, tmp_path / "scores").shape == (40, 4)


# --- bad input


def refused(whimbrel, out, *words, code=2):
    """The one line on stderr of a run that must fail and leave nothing in the folder `out`."""
    out.mkdir(exist_ok=True)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    result = run(whimbrel, "quantize", *words)
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    return lines[0]


def test_silent_recordings(whimbrel, tmp_path):
    for i in range(2):
        path = tmp_path / "in" / f"silence{i}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.zeros(50 * 32000, np.float32), 32000)
    out = tmp_path / "out"
    line = refused(whimbrel, out, MODEL, "--calibrate", tmp_path / "in", "-o", out / "int8.onnx")
    assert "all 10 windows to calibrate on are the same" in line and "silence" in line and "expected" in line


def test_too_few_windows(whimbrel, recordings, tmp_path):
    out = tmp_path / "out"
    one = sorted(recordings.glob("*.wav"))[0]  # 12 windows: 6 to calibrate on
    line = refused(whimbrel, out, MODEL, "--calibrate", one, "-o", out / "int8.onnx")
    assert "6 windows to calibrate on, expected at least 8" in line and "more or longer recordings" in line


def without_convolutions(folder):
    nodes = [
        helper.make_node("Reshape", ["samples", "shape"], ["parts"]),
        helper.make_node("ReduceMax", ["parts"], ["y"], axes=[2], keepdims=0),
    ]
    return save_network(folder, nodes, {"shape": np.array([0, 4, 400], np.int64)})


def quantized_already(folder):
    nodes, weights = convolutions()
    weights |= {"scale": np.float32(0.1), "zero": np.uint8(128)}
    nodes.append(helper.make_node("QuantizeLinear", ["y", "scale", "zero"], ["integers"], "to_integers"))
    nodes.append(helper.make_node("DequantizeLinear", ["integers", "scale", "zero"], ["restored"]))
    return save_network(folder, nodes, weights, "restored")


def with_control_flow(folder):
    nodes, weights = convolutions()
    branch = helper.make_graph(
        [helper.make_node("Identity", ["y"], ["branch"])],
        "branch",
        [],
        [helper.make_tensor_value_info("branch", TensorProto.FLOAT, None)],
    )
    nodes.append(helper.make_node("If", ["always"], ["z"], "choice", then_branch=branch, else_branch=branch))
    return save_network(folder, nodes, weights | {"always": np.array(True)}, "z")


def of_opset_11(folder):
    nodes, weights = convolutions()
    nodes[0] = helper.make_node("Unsqueeze", ["samples"], ["plane"], axes=[1])
    del weights["axis_1"]
    return save_network(folder, nodes, weights, opset=11)


def with_data_outside(folder):
    manifest = save_network(folder, *convolutions())
    (folder.parent / "secret.bin").write_bytes(bytes(10000))
    model = onnx.load(manifest.with_suffix(".onnx"))
    tensor = next(t for t in model.graph.initializer if t.name == "first")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../secret.bin"), ("offset", "0"), ("length", str(16 * 9 * 4))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    manifest.with_suffix(".onnx").write_bytes(model.SerializeToString())
    return manifest


def of_text(folder):
    manifest = save_network(folder, *convolutions())
    manifest.with_suffix(".onnx").write_text("this is no protobuf")
    return manifest


BAD_MODELS = {
    "without convolutions": (without_convolutions, ["no convolution or product", "gains nothing from INT8"]),
    "quantized already": (quantized_already, ["quantized already", "'to_integers' is QuantizeLinear", "expected float32"]),
    "with control flow": (with_control_flow, ["control flow", "'choice' is If", "expected a plain graph"]),
    "of opset 11": (of_opset_11, ["opset 11, expected 13 or newer", "export the model again"]),
    "with data outside": (with_data_outside, ["'first'", "../secret.bin", "expected a file inside the model's folder"]),
    "of text": (of_text, ["not an ONNX model, expected one"]),
}


@pytest.mark.parametrize("what", BAD_MODELS)
def test_a_model_(whimbrel, noise, tmp_path, what):
    make, expected = BAD_MODELS[what]
    manifest = make(tmp_path / "m")
    out = tmp_path / "out"
    line = refused(whimbrel, out, manifest, "--calibrate", noise, "-o", out / "int8.onnx")
    assert str(manifest.with_suffix(".onnx")) in line
    for words in expected:
        assert words in line, line


@pytest.mark.parametrize("name", ["dawn_chorus.onnx", "sub/../dawn_chorus.onnx"])
def test_an_output_that_would_replace_the_model(whimbrel, recordings, tmp_path, name):
    folder = tmp_path / "m"
    shutil.copytree(MODEL.parent, folder)
    (folder / "dawn_chorus.toml").rename(folder / "other.toml")
    (tmp_path / "link").symlink_to(folder)
    line = refused(
        whimbrel, folder, folder / "other.toml", "--calibrate", recordings, "-o", tmp_path / "link" / name.split("/")[-1]
    )
    assert "would replace the float model" in line and "choose another name, such as dawn_chorus-int8.onnx" in line


def test_an_output_whose_manifest_would_replace_the_models(whimbrel, recordings, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(MODEL.parent, folder)
    (folder / "dawn_chorus.toml").rename(folder / "other.toml")
    line = refused(whimbrel, folder, folder / "other.toml", "--calibrate", recordings, "-o", folder / "other.onnx")
    assert "or its manifest" in line and "other.toml" in line


def test_a_folder_with_other_labels(whimbrel, noise, tmp_path):
    model = save_network(tmp_path / "m", *convolutions())
    out = tmp_path / "out"
    out.mkdir()
    (out / "labels.txt").write_text("another model's\n")
    line = refused(whimbrel, out, model, "--calibrate", noise, "-o", out / "int8.onnx")
    assert "labels.txt is there with other labels" in line and "choose another folder" in line


def truth_of(path, rows, classes):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["row_id", *classes], *([row] + [0] * len(classes) for row in rows)])
    return path


def test_truth_that_lacks_a_class_a_row_or_is_no_number(whimbrel, recordings, tmp_path):
    labels = (MODEL.parent / "labels.txt").read_text().splitlines()
    files = sorted(recordings.glob("*.wav"))
    rows = [f"{path.stem}_{5 * i}" for path in files[1::2] for i in range(1, 13)]
    out = tmp_path / "out"
    words = [MODEL, "--calibrate", recordings, "--samples", 8, "-o", out / "int8.onnx", "--truth"]
    line = refused(whimbrel, out, *words, truth_of(tmp_path / "t.csv", rows, labels[:-1]))
    assert "t.csv" in line and f'no column for class "{labels[-1]}"' in line and "expected one for each label" in line
    line = refused(whimbrel, out, *words, truth_of(tmp_path / "t.csv", rows[:5] + rows[6:], labels))
    assert f'no row "{rows[5]}"' in line and "--certify" in line
    text = truth_of(tmp_path / "t.csv", rows, labels).read_text()
    (tmp_path / "t.csv").write_text(text.replace(",0,", ",yes,", 1))
    assert '"yes"' in refused(whimbrel, out, *words, tmp_path / "t.csv")
    assert "none.csv" in refused(whimbrel, out, *words, tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["MODEL", "--calibrate", "none.wav", "-o", "OUT"], ["none.wav"]),
        (["none.toml", "--calibrate", "IN", "-o", "OUT"], ["none.toml"]),
        (["MODEL", "--calibrate", "IN", "-o", "OUT", "--target", "tensorrt"], ["target", "tensorrt", "onnxruntime", "--help"]),
        (["MODEL", "--calibrate", "IN", "-o", "OUT", "--observer", "max"], ["observer", "max", "minmax"]),
        (["MODEL", "--calibrate", "IN", "-o", "OUT", "--keep", "Con"], ["'Con'", "did you mean Conv"]),
        (["MODEL", "--calibrate", "IN", "-o", "OUT", "--samples", "7"], ["samples", "7"]),
        (["MODEL", "--calibrate", "IN", "-o", "DIR/int8.tflite"], ["int8.tflite", "expected an output that ends in .onnx"]),
        (["MODEL", "--calibrate", "IN", "-o", "DIR/int8.xml", "--target", "onnxruntime"], ["does not read .xml", "openvino"]),
        (["MODEL", "-o", "OUT"], ["--calibrate", "required"]),
        (["MODEL", "--calibrate", "IN", "-o", "/proc/none/int8.onnx"], ["/proc/none", "choose another output"]),
    ],
)
def test_wrong_words(whimbrel, noise, tmp_path, words, expected):
    out = tmp_path / "out"
    real = {"MODEL": save_network(tmp_path / "m", *convolutions()), "IN": noise, "OUT": out / "int8.onnx"}
    line = refused(whimbrel, out, *[real.get(word, word.replace("DIR", str(out))) for word in words])
    for part in expected:
        assert part in line, line


def test_json_answers_failures_with_one_object(whimbrel, noise, tmp_path):
    model = of_opset_11(tmp_path / "m")
    result = run(whimbrel, "quantize", model, "--calibrate", noise, "-o", tmp_path / "int8.onnx", "--json")
    answer = json.loads(result.stdout)
    assert result.returncode == answer["exit_code"] == 2
    assert answer["error"]["code"] == "unsupported" and "opset 11" in answer["error"]["message"]


# --- a trained network


@pytest.mark.slow
def test_a_trained_efficientnet_keeps_its_score(whimbrel, shared, tmp_path):
    pytest.importorskip("torch")
    from whimbrel.export.__main__ import main

    models, data = shared / "models", shared / "data/dawn"
    front_end, labels = ["--front-end", models / "front_end.toml"], ["--labels", models / "labels.txt"]
    network = f"{models}/dawn_models.py:build:tf_efficientnet_b0.sed"
    assert main([*map(str, [network, *front_end, *labels, "-o", tmp_path / "fp32", "--quiet"])]) == 0
    manifest = next((tmp_path / "fp32").glob("*.toml"))
    (tmp_path / "certify.txt").write_text("".join(f"{data}/dawn_50{i:02}.ogg\n" for i in range(4, 10)))
    (tmp_path / "calibrate.txt").write_text("".join(f"{data}/dawn_50{i:02}.ogg\n" for i in range(4)))
    words = ["--calibrate", f"@{tmp_path}/calibrate.txt", "--certify", f"@{tmp_path}/certify.txt", "--samples", 48, "--json"]
    words += ["--truth", data / "truth.csv", "--target", "onnxruntime", "-o", tmp_path / "int8/b0.onnx"]
    result = run(whimbrel, "quantize", manifest, *words)
    assert result.returncode == 0, result.stderr
    score = json.loads(result.stdout)["macro_roc_auc"]
    assert score["fp32"] > 0.8  # measured 0.884 on these six; far above chance: windows and truth belong together
    assert score["fp32"] - score["int8"] <= 0.005
