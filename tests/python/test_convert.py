"""`whimbrel convert` as a user meets it: what it writes, what it says, and that the result scores as the original does."""

import json
import shutil
import subprocess
import xml.etree.ElementTree

import numpy as np
import pytest
import soundfile


def run(whimbrel, *words):
    return subprocess.run([str(whimbrel), *map(str, words)], capture_output=True, text=True, timeout=600)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def original(root):
    return root / "examples/dawn_chorus/model"


@pytest.fixture
def model(original, tmp_path):
    """A folder of its own with the committed model."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in original.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    return folder


def scores(whimbrel, recording, model, out):
    result = run(whimbrel, "predict", recording, "--model", model, "--out", out, "--engine", "openvino", "--format", "npy")
    assert result.returncode == 0, result.stderr
    return np.load(out / "scores.npy")


@pytest.fixture
def recording(tmp_path):
    random = np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 3000 * np.arange(32000 * 12) / 32000)
    soundfile.write(tmp_path / "a.wav", 0.3 * tone + 0.05 * random.standard_normal(tone.size), 32000)
    return tmp_path / "a.wav"


def test_beside_the_model_the_manifest_serves_both(whimbrel, model, recording, tmp_path):
    before = names(model)
    result = run(whimbrel, "convert", model / "dawn_chorus.onnx", "-o", model / "dawn_chorus.xml")
    assert result.returncode == 0, result.stderr
    assert names(model) == sorted([*before, "dawn_chorus.bin", "dawn_chorus.xml"])
    assert "FP32, batch free); largest difference to dawn_chorus.onnx by onnxruntime" in result.stdout
    found = scores(whimbrel, recording, model / "dawn_chorus.xml", tmp_path / "xml")
    assert np.abs(found - scores(whimbrel, recording, model / "dawn_chorus.onnx", tmp_path / "onnx")).max() < 1e-5


@pytest.mark.parametrize("reference", ["dawn_chorus.toml", "dawn_chorus.onnx"])
def test_elsewhere_the_manifest_comes_along(whimbrel, original, recording, tmp_path, reference):
    out = tmp_path / "new/folder/net.xml"
    result = run(whimbrel, "convert", original / reference, "-o", out, "--batch", 4, "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["batch"] == 4 and report["weights"] == "fp32" and report["compared_with"] == "onnxruntime"
    assert report["largest_difference"] < 1e-3 * report["largest_value"]
    assert 'file = "net.xml"' in (out.parent / "net.toml").read_text()
    assert {"net.toml", "net.xml", "net.bin", "labels.txt"} <= set(names(out.parent))
    words = ["--model", out.parent / "net.toml", "--out", tmp_path / "out", "--batch", 4]
    assert run(whimbrel, "predict", recording, *words).returncode == 0


def test_fp16_weights_take_half_the_room(whimbrel, original, tmp_path):
    sizes = {}
    for word in ("--fp16", "--batch=1"):
        result = run(whimbrel, "convert", original / "dawn_chorus.onnx", "-o", tmp_path / f"{word[2:6]}.xml", word, "--json")
        assert result.returncode == 0, result.stderr
        sizes[word] = (tmp_path / f"{word[2:6]}.bin").stat().st_size
    assert sizes["--fp16"] < 0.6 * sizes["--batch=1"]


def test_fp16_weights_get_a_manifest_with_a_wider_probe(whimbrel, model, recording, tmp_path):
    shared = run(whimbrel, "convert", model / "dawn_chorus.onnx", "-o", model / "dawn_chorus.xml", "--fp16")
    assert shared.returncode == 2 and "give the output a name of its own" in shared.stderr
    result = run(whimbrel, "convert", model / "dawn_chorus.onnx", "-o", model / "half.xml", "--fp16")
    assert result.returncode == 0, result.stderr
    assert {"half.toml", "half.xml", "half.bin"} <= set(names(model)) and "dawn_chorus.xml" not in names(model)
    found = scores(whimbrel, recording, model / "half.toml", tmp_path / "half")
    assert np.abs(found - scores(whimbrel, recording, model / "dawn_chorus.toml", tmp_path / "whole")).max() < 2e-2


def test_what_is_there_stays_unless_forced(whimbrel, original, tmp_path):
    words = ["convert", original / "dawn_chorus.toml", "-o", tmp_path / "net.xml"]
    (tmp_path / "labels.txt").write_text("other\n")
    result = run(whimbrel, *words)
    assert result.returncode == 2 and "labels.txt is there with other contents" in result.stderr
    assert names(tmp_path) == ["labels.txt"]
    assert run(whimbrel, *words, "--force").returncode == 0
    result = run(whimbrel, *words)
    assert result.returncode == 2 and "net.xml is there already" in result.stderr
    assert run(whimbrel, *words, "--force").returncode == 0


def test_a_quantized_model_keeps_its_quantize_nodes(whimbrel, tmp_path):
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    random = np.random.default_rng(0)
    values = {
        "weights": random.integers(-127, 128, (8, 3), dtype=np.int8),
        "w_scale": np.float32(0.01),
        "w_zero": np.int8(0),
        "x_scale": np.float32(1 / 255),
        "x_zero": np.uint8(0),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "x_scale", "x_zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["weights", "w_scale", "w_zero"], ["w"]),
        helper.make_node("MatMul", ["xd", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "int8",
        [helper.make_tensor_value_info("x", floats, ["batch", 8])],
        [helper.make_tensor_value_info("y", floats, ["batch", 3])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "int8.onnx")
    result = run(whimbrel, "convert", tmp_path / "int8.onnx", "-o", tmp_path / "int8.xml", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["quantized"] and report["compared_with"] == "openvino"
    layers = xml.etree.ElementTree.parse(tmp_path / "int8.xml").getroot().iter("layer")
    kinds = [layer.get("type") for layer in layers]
    assert "FakeQuantize" in kinds
    assert (tmp_path / "int8.bin").stat().st_size < 4 * values["weights"].size + 64  # weights are bytes, not floats


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere.onnx", "-o", "x.xml"], 2, "nowhere.onnx: no such file, expected a model to convert"),
        (["nowhere.toml", "-o", "x.xml"], 2, "nowhere.toml: not there, expected a manifest"),
        (["notes.txt", "-o", "x.xml"], 2, "notes.txt: ending '.txt', expected .onnx, .tflite or .xml"),
        (["broken.onnx", "-o", "x.onnx"], 2, "x.onnx, expected a file name that ends in .xml"),
        (["broken.onnx", "-o", "x.xml", "--batch", "0"], 2, "--batch"),
        (["broken.onnx"], 2, "--output is required"),
        (["broken.onnx", "-o", "x.xml"], 3, "broken.onnx"),
        (["broken.onnx", "-o", "notes.txt/x.xml"], 3, "notes.txt"),
    ],
)
def test_what_cannot_be_done_is_one_line(whimbrel, tmp_path, words, code, said):
    (tmp_path / "notes.txt").write_text("no model")
    (tmp_path / "broken.onnx").write_text("no model either")
    paths = [str(tmp_path / word) if "." in word else word for word in words]
    result = run(whimbrel, "convert", *paths, "--json")
    assert result.returncode == code, result.stderr
    assert said in result.stderr and result.stderr.count("\n") == 1
    assert json.loads(result.stdout)["exit_code"] == code
    assert names(tmp_path) == ["broken.onnx", "notes.txt"]


def test_a_model_that_the_probe_refuses_is_not_written(whimbrel, model, tmp_path):
    probe = next(model.glob("*.npy"))
    np.save(probe, np.load(probe) + np.float32(1))
    result = run(whimbrel, "convert", model / "dawn_chorus.toml", "-o", tmp_path / "new/net.xml")
    assert result.returncode == 2 and "off by 1" in result.stderr
    assert not (tmp_path / "new").exists()
