"""An engine that misbehaves, at the start and in the middle of a run, loses no recording that another engine can score.

tests/engines/doctored stands in the place of OpenVINO: a network that is also written as ONNX here, so that ONNX Runtime can
take its place. A model that ends in .xml nobody else reads.
"""

import csv
import json
import os
import pathlib
import re
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "data"))

from make_models import probe_input
from small_networks import CLASSES, FRAMES, LABELS, RATE, files_of, run, write_plan, write_recording

BATCH = 2
SECONDS = {"r0": 7, "r1": 5, "r2": 9, "r3": 4}  # and windows
CLOSE = {"rtol": 0, "atol": 1e-3}  # of one engine to another


@pytest.fixture(scope="module")
def engine(build):
    """Environment in which the doctored engine is OpenVINO."""
    folder = build / "tests/doctored"
    if not (folder / "whimbrel-openvino.so").exists():
        pytest.skip(f"no whimbrel-openvino.so in {folder}: build the target doctored_engine")
    return os.environ | {"WHIMBREL_ENGINE_PATH": str(folder), "WHIMBREL_CACHE": "/dev/null/no-cache"}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    for seed, (name, seconds) in enumerate(SECONDS.items()):
        write_recording(folder / f"{name}.wav", seconds, seed)
    return folder


def write_model(folder, name, *, scale=8.0, frame=False):
    """The doctored engine's network and its probe; the manifest's path.

    scale: another one makes it another network than the probe's. A name that ends in .xml is for OpenVINO alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    offset = np.float32((ord(name[0]) - ord("a")) / 4 - 2)
    weights = {
        "cut": np.array([-1, FRAMES, RATE // FRAMES], np.int64),
        "factors": (scale * np.arange(1, CLASSES + 1)).astype(np.float32),
        "offset": np.full(CLASSES, offset, np.float32),
    }
    nodes = [
        helper.make_node("Reshape", ["samples", "cut"], ["frames"]),
        helper.make_node("Abs", ["frames"], ["sizes"]),
        helper.make_node("ReduceMean", ["sizes"], ["loud"], axes=[2], keepdims=1),
        helper.make_node("Mul", ["loud", "factors"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["frame"]),
        helper.make_node("ReduceMean", ["frame"], ["clip"], axes=[1], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["batch", RATE])],
        [
            helper.make_tensor_value_info("clip", TensorProto.FLOAT, ["batch", CLASSES]),
            helper.make_tensor_value_info("frame", TensorProto.FLOAT, ["batch", FRAMES, CLASSES]),
        ],
        [numpy_helper.from_array(value, key) for key, value in weights.items()],
    )
    stem = pathlib.Path(name).stem
    file = name if name.endswith(".xml") else f"{name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / file)
    loud = np.abs(probe_input((RATE,)).astype(np.float64)).mean()
    np.save(folder / f"{stem}.npy", (8 * np.arange(1, CLASSES + 1) * loud + offset).astype(np.float32))
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    lines = ["[model]", f'name = "{stem}"', f'file = "{file}"', 'labels = "labels.txt"']
    lines += ["[input]", 'kind = "waveform"', f"sample_rate_hz = {RATE}", "window_s = 1", "hop_s = 1"]
    lines += ["[output]", 'clip = "clip"', *(['frame = "frame"', 'frame_axis = "class_last"'] if frame else [])]
    lines += ["[probe]", f'output = "{stem}.npy"']
    (folder / f"{stem}.toml").write_text("\n".join(lines) + "\n")
    return folder / f"{stem}.toml"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: write_model(folder, name) for name in ("a", "b", "d.xml")}


class Runs:
    """Runs of the command with the doctored engine; those without a fault are remembered."""

    def __init__(self, whimbrel, engine, recordings, folder):
        self.whimbrel, self.engine, self.recordings, self.folder = whimbrel, engine, recordings, folder
        self.well = {}

    def __call__(self, out, fault, *words, **variables):
        environment = self.engine | {"WHIMBREL_DOCTOR": fault} | variables
        command = ["predict", self.recordings, "--out", out, "--engine", "openvino", "--format", "npy,kaggle,csv,jsonl"]
        if "--batch" not in words:
            command += ["--batch", BATCH]
        return run(self.whimbrel, *command, *words, env=environment)

    def clean(self, *words):
        """Scores of a run without a fault."""
        if words not in self.well:
            out = self.folder / str(len(self.well))
            done = self(out, "", *words, "--threads", 1)
            assert done.returncode == 0, done.stderr
            assert all("retried_batches" not in model for model in record_of(out)["models"])
            self.well[words] = scores_of(out)
        return self.well[words]


@pytest.fixture(scope="module")
def runs(whimbrel, engine, recordings, tmp_path_factory):
    return Runs(whimbrel, engine, recordings, tmp_path_factory.mktemp("clean"))


def named(*models):
    return [str(word) for model in models for word in ("--model", model)]


def record_of(out):
    return json.loads((out / "run.json").read_text())


def scores_of(out):
    """{recording: [windows, classes]}, after a look at every file: all there, and all finite."""
    scores = np.load(out / "scores.npy")
    assert np.isfinite(scores).all()
    for name in ("scores.index.csv", "submission.csv", "detections.csv", "detections.jsonl"):
        assert not re.search(r"\b(nan|inf)\b", (out / name).read_text(), re.IGNORECASE)
    with (out / "scores.index.csv").open() as file:
        names = np.array([pathlib.Path(row["file"]).stem for row in csv.DictReader(file)], dtype=object)
    with (out / "submission.csv").open() as file:
        assert len(list(csv.reader(file))) == 1 + len(scores) == 1 + len(names)
    return {name: scores[names == name] for name in SECONDS if (names == name).any()}


def rows_hit(scores, clean):
    """Number of rows that another engine gave: close to those of a run without a fault, and the others the same to the bit."""
    assert list(scores) == list(clean)
    hit = 0
    for name, rows in scores.items():
        np.testing.assert_allclose(rows, clean[name], **CLOSE)
        hit += (rows != clean[name]).any(axis=1).sum()
    return hit


def assert_saved(done, out, clean, model, batches=1, rows=BATCH):
    """Everything was scored, with the help of ONNX Runtime."""
    assert done.returncode == 0, done.stderr
    assert [r["state"] for r in record_of(out)["recordings"]] == ["done"] * len(SECONDS)
    assert rows_hit(scores_of(out), clean) <= rows
    for member in record_of(out)["models"]:
        hit = member["name"] == model
        assert member.get("retried_batches", 0) == (batches if hit else 0)
        assert member.get("fallback_engine") == ("onnxruntime" if hit else None)
    said = [line for line in done.stderr.splitlines() if "onnxruntime" in line]
    assert len(said) == 2, done.stderr  # when it happened, and in the end
    assert f"model {model}" in said[0] and "openvino" in said[0]
    assert said[1].startswith("engine: openvino failed on") and f" of {model}" in said[1]


def assert_lost(done, out, clean, words, most=2):
    """At most so many recordings failed, for this reason, and the others have the scores of a run without a fault."""
    assert done.returncode == 1, done.stderr
    failed = [r for r in record_of(out)["recordings"] if r["state"] == "failed"]
    assert 1 <= len(failed) <= most
    names = {pathlib.Path(r["path"]).stem for r in failed}
    assert rows_hit(scores_of(out), {name: rows for name, rows in clean.items() if name not in names}) == 0
    for recording in failed:
        assert recording["windows"] == 0
        assert all(word in recording["error"] for word in words), recording["error"]
        assert done.stderr.count(recording["error"]) == 1
    assert len(done.stderr.splitlines()) <= 2 + len(failed), done.stderr
    return names


# --- at the start


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("nan_at_start", 2, "value 1 of output 'clip' is nan on known input, expected finite values"),
        ("wrong_probe", 2, "the output on the probe input is off by 0.5, expected at most 0.001"),
        ("wrong_shape", 2, "expected [batch, 4] for the 4 labels"),
        ("throw_at_open", 3, "the doctor threw"),
        ("bad_alloc_at_open", 3, "a.onnx: std::bad_alloc"),
    ],
)
def test_an_engine_that_is_wrong_at_the_start_ends_the_run(runs, models, tmp_path, fault, code, words, batch):
    out = tmp_path / "out"
    done = runs(out, fault, *named(models["a"]), "--batch", batch)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1 and words in done.stderr, done.stderr
    assert "openvino: " in done.stderr or fault == "wrong_shape", "it names the engine"
    assert "a.toml" in done.stderr or "a.onnx" in done.stderr
    assert not list(out.glob("*"))


# --- another engine takes its place

FAULTS = ["throw", "bad_alloc", "nan", "inf", "nan_one_row"]


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_batch_that_fails_is_scored_by_another_engine(runs, models, tmp_path, fault, threads):
    words = named(models["a"])
    done = runs(tmp_path, f"{fault}@3", *words, "--threads", threads)
    assert_saved(done, tmp_path, runs.clean(*words), "a", rows=1 if fault == "nan_one_row" else BATCH)


def test_the_batch_that_failed_is_the_one_that_is_run_again(runs, models, tmp_path):
    """The third of one worker: rows 4 and 5 of the first recording."""
    words = named(models["a"])
    assert runs(tmp_path, "throw@3", *words, "--threads", 1).returncode == 0
    scores, clean = scores_of(tmp_path), runs.clean(*words)
    changed = (scores["r0"] != clean["r0"]).any(axis=1)
    assert changed[4:6].any() and not changed[[0, 1, 2, 3, 6]].any()


@pytest.mark.parametrize("fault", ["throw", "nan", "runner@3+"])
def test_an_engine_that_always_fails_is_replaced_for_all_of_the_run(runs, models, tmp_path, fault):
    """runner: the two of the start can be made, none of a worker."""
    words = named(models["a"])
    done = runs(tmp_path, fault, *words, "--threads", 2)
    windows = sum(SECONDS.values())
    batches = (windows + BATCH - 1) // BATCH
    assert_saved(done, tmp_path, runs.clean(*words), "a", batches=batches, rows=windows)


def test_scores_are_the_same_for_any_number_of_workers_where_the_engine_always_fails(runs, models, tmp_path):
    outputs = []
    for threads in (1, 4):
        assert runs(tmp_path / f"{threads}", "throw", *named(models["a"], models["b"]), "--threads", threads).returncode == 0
        outputs.append(files_of(tmp_path / f"{threads}"))
    assert outputs[0] == outputs[1]


def test_frames_that_are_not_finite_are_run_again(runs, tmp_path):
    words = [*named(write_model(tmp_path / "models", "a", frame=True)), "--events"]
    done = runs(tmp_path / "out", "nan_frame@2", *words)
    assert_saved(done, tmp_path / "out", runs.clean(*words), "a", rows=1)


@pytest.mark.parametrize("fault", ["throw", "nan"])
def test_a_member_of_an_ensemble_is_helped_alone(runs, models, tmp_path, fault):
    words = named(models["a"], models["b"])
    assert_saved(runs(tmp_path, f"b:{fault}@2", *words), tmp_path, runs.clean(*words), "b")


def test_a_time_budget_changes_nothing_of_it(runs, models, tmp_path):
    words = named(models["a"], models["b"])
    done = runs(tmp_path, "b:throw@2", *words, "--budget", "1h")
    assert_saved(done, tmp_path, runs.clean(*words), "b")


def test_shifted_windows_share_the_other_engine(runs, models, tmp_path):
    words = [*named(models["a"]), "--tta-shift", "-0.25"]
    done = runs(tmp_path, "throw", *words)
    batches = record_of(tmp_path)["models"][0]["retried_batches"]
    assert batches == 2 * ((sum(SECONDS.values()) + BATCH - 1) // BATCH)
    assert done.returncode == 0 and rows_hit(scores_of(tmp_path), runs.clean(*words)) > 0
    assert "retried_batches" not in record_of(tmp_path)["models"][1]


# --- none can


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("fault", FAULTS)
def test_without_another_engine_only_the_recordings_of_the_batch_fail(runs, models, tmp_path, fault, threads):
    words = named(models["d.xml"])
    done = runs(tmp_path, f"{fault}@3", *words, "--threads", threads)
    said = {"throw": "the doctor threw", "bad_alloc": "std::bad_alloc"}.get(fault, "not finite")
    reason = ["window ", "model d: openvino", said, "no other engine can run it"]
    names = assert_lost(done, tmp_path, runs.clean(*words), reason, most=1 if fault == "nan_one_row" else 2)
    assert threads > 1 or names == {"r0"}


def test_an_engine_that_is_not_installed_is_named(runs, models, tmp_path):
    words = named(models["a"])
    done = runs(tmp_path, "throw@3", *words, WHIMBREL_ONNXRUNTIME="/nowhere/libonnxruntime.so")
    assert_lost(done, tmp_path, runs.clean(*words), ["the doctor threw", "no other engine", "/nowhere/libonnxruntime.so"])


def test_another_engine_that_misses_the_probe_is_not_used(runs, tmp_path):
    words = named(write_model(tmp_path / "models", "a", scale=7.0))
    done = runs(tmp_path / "out", "throw@3", *words)
    reason = ["the doctor threw", "no other engine", "on the probe input is off by"]
    assert_lost(done, tmp_path / "out", runs.clean(*words), reason)


@pytest.mark.parametrize("fault", ["throw", "nan"])
def test_an_engine_that_always_fails_is_said_of_every_recording(runs, models, tmp_path, fault):
    done = runs(tmp_path, fault, *named(models["d.xml"]), "--threads", 2)
    assert done.returncode == 1
    recordings = record_of(tmp_path)["recordings"]
    assert [r["state"] for r in recordings] == ["failed"] * len(SECONDS)
    assert all("model d: openvino" in r["error"] for r in recordings)
    assert scores_of(tmp_path) == {}
    assert len(done.stderr.splitlines()) == 1 + len(SECONDS) + 1, done.stderr


def test_a_member_of_an_ensemble_that_fails_costs_the_recording(runs, models, tmp_path):
    words = named(models["a"], models["d.xml"])
    done = runs(tmp_path, "d:throw@2", *words)
    assert_lost(done, tmp_path, runs.clean(*words), ["model d: openvino", "the doctor threw"])


# --- cascades


@pytest.fixture(scope="module")
def cascades(runs, models, tmp_path_factory):
    """Plans whose gate and other model are read by both engines, or by one."""
    folder = tmp_path_factory.mktemp("plans")
    plans = {}
    for key, names in {"both": ("a", "b"), "gate": ("d.xml", "b"), "other": ("a", "d.xml")}.items():
        members = [models[name] for name in names]
        assert runs(folder / key, "", *named(*members)).returncode == 0
        cascade = {"gate": 0, "threshold": 0.75, "slope": 1.0, "offset": 0.0}
        record = record_of(folder / key)
        plans[key] = write_plan(folder / f"{key}.toml", members, (1, 1), record, cascade, batches=(BATCH, BATCH))
    return plans


@pytest.mark.parametrize("member", ["a", "b"])
def test_either_part_of_a_cascade_is_helped(runs, cascades, tmp_path, member):
    words = ["--plan", str(cascades["both"])]
    done = runs(tmp_path, f"{member}:throw@2", *words)
    assert_saved(done, tmp_path, runs.clean(*words), member)


@pytest.mark.parametrize("part", ["gate", "other"])
def test_a_part_of_a_cascade_that_fails_costs_the_recording(runs, cascades, tmp_path, part):
    words = ["--plan", str(cascades[part])]
    done = runs(tmp_path, "d:throw@2", *words)
    assert_lost(done, tmp_path, runs.clean(*words), ["model d: openvino", "the doctor threw"])
