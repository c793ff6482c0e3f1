"""`predict --engine auto` heeds the certificate inside an INT8 model: its engine, and whether to keep FP32 on this CPU."""

import json
import pathlib
import shutil
import subprocess

import onnx
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "examples/dawn_chorus/model"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    import numpy as np
    import soundfile

    path = tmp_path_factory.mktemp("recording") / "noise.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(1).standard_normal(32000 * 12).astype(np.float32), 32000)
    return path


@pytest.fixture(scope="module")
def cpu(whimbrel):
    return json.loads(subprocess.run([whimbrel, "info", "--json"], check=True, capture_output=True, text=True).stdout)["cpu"]


@pytest.fixture
def certified(whimbrel, cpu, tmp_path):
    """Function that writes the example's network as `int8.onnx` with a verdict, beside the float model that it came from."""
    for file in MODEL.iterdir():
        shutil.copy(file, tmp_path / file.name)
    manifest = (tmp_path / "dawn_chorus.toml").read_text().replace('"dawn_chorus.onnx"', '"int8.onnx"')
    (tmp_path / "int8.toml").write_text(manifest)

    def write(**changes):
        verdict = {
            "format": 1,
            "keep_fp32": True,
            "engine": "openvino",
            "cpu": cpu["model"],
            "integer_path": cpu["integer_path"],
            "source": "dawn_chorus.onnx",
            "source_hash": hash_of(whimbrel, tmp_path / "dawn_chorus.toml", tmp_path),
            "verdict": "keep FP32: INT8 reaches 0.93x (0.91..0.95) on this CPU, top-1 agreement 99.0 %",
        }
        verdict.update(changes)
        model = onnx.load(tmp_path / "dawn_chorus.onnx")
        entry = model.metadata_props.add()
        entry.key, entry.value = "whimbrel.int8", json.dumps(verdict)
        onnx.save(model, tmp_path / "int8.onnx")
        return tmp_path / "int8.toml"

    return write


def predict(whimbrel, recording, model, out, *words):
    done = subprocess.run(
        [whimbrel, "predict", recording, "--model", model, "--out", out, *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads((out / "run.json").read_text())["models"][0], done.stderr


def hash_of(whimbrel, manifest, folder):
    """The hash of a model as run.json gives it."""
    import numpy as np
    import soundfile

    silence = folder / "silence.wav"
    soundfile.write(silence, np.zeros(32000 * 6, np.float32), 32000)
    member, _ = predict(whimbrel, silence, manifest, folder / "hash")
    return member["hash_xxh3_128"]


def test_the_float_model_runs_where_the_verdict_of_this_cpu_says_so(whimbrel, certified, recording, tmp_path):
    member, said = predict(whimbrel, recording, certified(), tmp_path / "out")
    assert pathlib.Path(member["file"]).name == "dawn_chorus.onnx"
    assert "keep FP32" in said and "running dawn_chorus.onnx" in said


def test_an_engine_that_is_named_runs_the_int8_model(whimbrel, certified, recording, tmp_path):
    member, _ = predict(whimbrel, recording, certified(), tmp_path / "out", "--engine", "onnxruntime")
    assert pathlib.Path(member["file"]).name == "int8.onnx"
    assert member["engine"] == "onnxruntime"


def test_a_verdict_of_another_cpu_does_not_bind(whimbrel, certified, recording, tmp_path):
    member, _ = predict(whimbrel, recording, certified(cpu="another one"), tmp_path / "out")
    assert pathlib.Path(member["file"]).name == "int8.onnx"
    assert member["engine"] == "openvino", "the engine that its integers are placed for"


@pytest.mark.parametrize(
    "changes", [{"source_hash": "0" * 32}, {"source": "gone.onnx"}, {"source": "../dawn_chorus.onnx/../x"}]
)
def test_a_float_model_that_is_not_there_or_another_one_is_not_run(whimbrel, certified, recording, tmp_path, changes):
    member, said = predict(whimbrel, recording, certified(**changes), tmp_path / "out")
    assert pathlib.Path(member["file"]).name == "int8.onnx"
    assert "does not lie beside it" in said


def test_an_int8_model_that_wins_runs_in_its_engine(whimbrel, certified, recording, tmp_path):
    member, _ = predict(whimbrel, recording, certified(keep_fp32=False), tmp_path / "out")
    assert pathlib.Path(member["file"]).name == "int8.onnx"
    assert member["engine"] == "openvino"


def test_a_remark_that_is_no_verdict_is_passed_over(whimbrel, certified, recording, tmp_path):
    member, _ = predict(whimbrel, recording, certified(format=99), tmp_path / "out")
    assert pathlib.Path(member["file"]).name == "int8.onnx"
    assert member["engine"] == "onnxruntime"
