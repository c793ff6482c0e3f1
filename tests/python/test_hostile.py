"""Models, names and folders that somebody else made and that mean no good, met by the real command."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "data"))
onnx = pytest.importorskip("onnx")

from small_networks import Network, run, write_recording  # noqa: E402

ESCAPES = "\x1b[2J\x9b31m\x07"


@pytest.fixture
def model(tmp_path):
    return Network(1).write(tmp_path / "model", "net")


@pytest.fixture
def recordings(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("a.wav", "sub/=b.wav"):
        write_recording(tmp_path / "in" / name, 20, seed=1)
    return tmp_path / "in"


def move_weights_out(manifest, location):
    """The model's weights into a file that `location` names as seen from the model."""
    path = manifest.with_suffix(".onnx")
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == "matrix":
            (manifest.parent / "values").write_bytes(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=location)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("how", ["parent", "absolute", "link"])
def test_no_verb_reads_weights_outside_the_models_folder(whimbrel, model, recordings, tmp_path, how):
    outside = tmp_path / "secret"
    move_weights_out(model, {"parent": "../secret", "absolute": str(outside), "link": "link"}[how])
    outside.write_bytes((model.parent / "values").read_bytes())
    if how == "link":
        (model.parent / "link").symlink_to(outside)
    for words in (
        ["predict", recordings, "--model", model, "--out", tmp_path / "out", "--engine", "onnxruntime"],
        ["predict", recordings, "--model", model, "--out", tmp_path / "out", "--engine", "openvino"],
        ["info", model],
        ["convert", model, "-o", tmp_path / "out.xml"],
        ["quantize", model, "--calibrate", recordings, "-o", tmp_path / "int8.onnx"],
        ["bench", model],
    ):
        result = run(whimbrel, *words)
        assert "inside the model's folder" in result.stderr + result.stdout, words
        assert result.returncode == 2 or words[0] == "bench", words
    assert not list(tmp_path.glob("out*/scores*")) and not (tmp_path / "out.xml").exists()


def test_weights_beside_the_model_are_read(whimbrel, model, recordings, tmp_path):
    move_weights_out(model, "values")
    for engine in ("onnxruntime", "openvino"):
        words = ["predict", recordings, "--model", model, "--out", tmp_path / engine, "--engine", engine, "--format", "npy"]
        result = run(whimbrel, *words)
        assert result.returncode == 0, result.stderr


def test_names_cannot_write_escape_sequences_to_the_terminal(whimbrel, model, recordings, tmp_path):
    name = f"gone{ESCAPES}"
    model.write_text(model.read_text().replace('name = "net"', f"name = {json.dumps('net' + ESCAPES)}"))
    (recordings / f"{name}.wav").write_bytes(b"no recording")
    for words in (
        ["info", model],
        ["info", tmp_path / f"{name}.toml"],
        ["predict", recordings, "--model", model, "--out", tmp_path / "out"],
        ["predict", tmp_path / name, "--model", model, "--out", tmp_path / "out"],
        ["score", tmp_path / name, tmp_path / name],
        ["report", tmp_path / name, "-o", tmp_path / "page.html"],
    ):
        result = subprocess.run([str(whimbrel), *map(str, words)], capture_output=True, timeout=600, check=False)
        said = (result.stdout + result.stderr).decode(errors="replace")
        assert "[2J" in said, words
        assert not set(said) & set(ESCAPES[:1] + "\x9b\x07"), words


def test_a_formula_among_the_names_is_told_once(whimbrel, model, recordings, tmp_path):
    words = ["predict", recordings, "--model", model, "--out", tmp_path / "out", "--threshold", "0"]
    told = run(whimbrel, *words, "--format", "csv,kaggle").stderr
    assert told.count("would be a formula") == 1 and "=b.wav" in told
    assert "would be a formula" not in run(whimbrel, *words, "--format", "jsonl").stderr
    assert "=b_1," in (tmp_path / "out" / "submission.csv").read_text()  # as it is: programs read it too


def test_outputs_do_not_follow_a_link_out_of_their_folder(whimbrel, model, recordings, tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "sub").symlink_to(elsewhere)
    result = run(whimbrel, "predict", recordings, "--model", model, "--out", out, "--format", "raven")
    assert result.returncode == 2 and "through a link" in result.stderr
    assert os.listdir(elsewhere) == []


def test_convert_writes_no_companion_outside_its_folder(whimbrel, model, tmp_path):
    model.write_text(model.read_text().replace('"labels.txt"', '"../model/labels.txt"'))
    result = run(whimbrel, "convert", model, "-o", tmp_path / "deep" / "ir" / "net.xml")
    assert result.returncode == 2 and "outside its folder" in result.stderr
    assert not (tmp_path / "deep" / "model").exists()
