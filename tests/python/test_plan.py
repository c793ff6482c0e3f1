"""`whimbrel plan`: what it chooses on small networks, that `predict --plan` runs just that, and what it refuses."""

import csv
import itertools
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import onnx
import pytest
import soundfile
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
RATE = 8000
TONES_HZ = (600, 1100, 1900, 2700)
SECONDS = 40  # of a recording; a window is one second
CLASSES = [f"tone {hz}" for hz in TONES_HZ]


def run(whimbrel, *words, **options):
    return subprocess.run([str(whimbrel), *map(str, words)], capture_output=True, text=True, timeout=600, **options)


# --- recordings of faint tones in noise, and networks that hear them more or less well


def write_recordings(folder, count, share, seed):
    """Recordings of which `share` of the windows hold a tone, and their truth."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    time_s = np.arange(RATE) / RATE
    rows = []
    for n in range(count):
        windows = 0.1 * rng.standard_normal((SECONDS, RATE))
        for i, window in enumerate(windows):
            calls = rng.random() < share
            row = [0] * len(TONES_HZ)
            if calls:
                c = rng.integers(len(TONES_HZ))
                row[c] = 1
                window += 0.009 * np.sin(2 * np.pi * (TONES_HZ[c] * time_s + rng.random()))
            rows.append([f"field{n}_{i + 1}", *row])
        soundfile.write(folder / f"field{n}.wav", windows.ravel().astype(np.float32), RATE, subtype="FLOAT")
    with open(folder / "truth.csv", "w", newline="") as file:
        csv.writer(file).writerows([["row_id", *CLASSES], *rows])
    return folder


def write_network(folder, name, seed, blur, channels):
    """The energy of each tone as a logit, through a basis that is off by noise; `channels` of a convolution only cost time."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * np.outer(np.arange(RATE) / RATE, TONES_HZ)
    basis = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
    basis += blur * rng.standard_normal(basis.shape)
    weights = {
        "basis": (basis / 30).astype(np.float32),
        "pairs": np.tile(np.eye(4), (2, 1)).astype(np.float32),
        "threshold": np.full(4, 3, np.float32),
        "axis_1": np.array([1], np.int64),
        "filters": rng.standard_normal((channels, 1, 65)).astype(np.float32),
        "ignore": np.zeros((1, channels, 1), np.float32),
        "axes": np.array([1, 2], np.int64),
    }
    nodes = [
        helper.make_node("MatMul", ["samples", "basis"], ["parts"]),
        helper.make_node("Mul", ["parts", "parts"], ["squares"]),
        helper.make_node("MatMul", ["squares", "pairs"], ["energy"]),
        helper.make_node("Sub", ["energy", "threshold"], ["logits"]),
        helper.make_node("Unsqueeze", ["samples", "axis_1"], ["plane"]),
        helper.make_node("Conv", ["plane", "filters"], ["convolved"]),
        helper.make_node("Mul", ["convolved", "ignore"], ["ignored"]),
        helper.make_node("ReduceSum", ["ignored", "axes"], ["nothing"], keepdims=0),
        helper.make_node("Unsqueeze", ["nothing", "axis_1"], ["column"]),
        helper.make_node("Add", ["logits", "column"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["batch", RATE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(value, key) for key, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / f"{name}.onnx")
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in CLASSES))
    lines = ["[model]", f'name = "{name}"', f'file = "{name}.onnx"', 'labels = "labels.txt"', "[input]", 'kind = "waveform"']
    lines += [f"sample_rate_hz = {RATE}", "window_s = 1", "hop_s = 1", "[output]", 'activation = "sigmoid"']
    (folder / f"{name}.toml").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    return write_recordings(tmp_path_factory.mktemp("plan") / "validation", 6, 0.6, 5)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Three that err in ways of their own, and a poor one."""
    folder = tmp_path_factory.mktemp("networks") / "models"
    for i in range(3):
        write_network(folder, f"fold{i}", i, 1.0, 4)
    write_network(folder, "poor", 9, 8.0, 4)
    return folder


def plan(whimbrel, networks, recordings, out, *words, budget="1h", workload="10x10min", truth=None):
    models = ["--model", networks / "*.toml", "--validation", recordings]
    options = ["--truth", truth or recordings / "truth.csv", "--budget", budget, "--workload", workload, "-o", out]
    return run(whimbrel, "plan", *models, *options, *words)


@pytest.fixture(scope="module")
def planned(whimbrel, networks, recordings, tmp_path_factory):
    """A plan of its own folder, and what --json said of it."""
    out = tmp_path_factory.mktemp("planned") / "plan.toml"
    done = plan(whimbrel, networks, recordings, out, "--json", "--cascade", "never")
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def scores(whimbrel, recordings, out, *words):
    done = run(whimbrel, "predict", recordings, "--out", out, "--format", "npy", "--quiet", *words)
    assert done.returncode == 0, done.stderr
    return np.load(out / "scores.npy")


# --- what is chosen


def test_networks_that_err_differently_are_planned_together(planned):
    chosen = planned[1]["plan"]
    names = {member["name"] for member in chosen["members"]}
    assert len(names & {"fold0", "fold1", "fold2"}) >= 2
    assert chosen["best_weighted_score"] > chosen["best_single_score"]
    assert chosen["score_low"] <= chosen["expected_score"] <= chosen["score_high"]
    assert chosen["expected_score"] == max(chosen[f"best_{way}_score"] for way in ("single", "equal", "weighted"))
    assert chosen["workload_windows"] == 6000
    assert 0 < chosen["expected_wall_s"] < chosen["budget_s"] == 3600


def test_candidates_are_scored_as_whimbrel_score_does(whimbrel, networks, recordings, planned, tmp_path):
    model = networks / "fold1.toml"
    done = run(whimbrel, "predict", recordings, "--model", model, "--out", tmp_path, "--format", "kaggle")
    assert done.returncode == 0, done.stderr
    done = run(whimbrel, "score", tmp_path / "submission.csv", recordings / "truth.csv", "--json")
    expected = json.loads(done.stdout)["macro_roc_auc"]
    candidate = next(c for c in planned[1]["candidates"] if c["name"] == "fold1")
    assert candidate["score"] == pytest.approx(expected, abs=1e-9)
    assert candidate["cost_s"] > 0


def test_the_front_rises_with_time(planned):
    front = planned[1]["plan"]["pareto"]
    assert all(a["wall_s"] < b["wall_s"] and a["score"] < b["score"] for a, b in itertools.pairwise(front))
    assert len(front[0]["members"]) == 1


def test_plan_runs_as_planned(whimbrel, networks, recordings, planned, tmp_path):
    path, report = planned
    members = report["plan"]["members"]
    ensemble = scores(whimbrel, recordings, tmp_path / "plan", "--plan", path)
    record = json.loads((tmp_path / "plan/run.json").read_text())
    models = record["models"]
    assert [(m["name"], m["engine"], m["batch"]) for m in models] == [(m["name"], m["engine"], m["batch"]) for m in members]
    assert [m["hash_xxh3_128"] for m in models] == [m["hash_xxh3_128"] for m in members]
    expected, actual = record["plan"]["expected_wall_s"] / 6000, record["summary"]["wall_s"] / (6 * SECONDS)
    assert record["plan"]["actual_windows"] == 6 * SECONDS
    assert record["plan"]["actual_by_expected"] == pytest.approx(actual / expected, rel=1e-4)
    mean = sum(
        m["weight"] * scores(whimbrel, recordings, tmp_path / m["name"], "--model", networks / f"{m['name']}.toml")
        for m in members
    )
    np.testing.assert_allclose(ensemble, mean / sum(m["weight"] for m in members), atol=1e-6)


def test_plan_file_is_readable(planned):
    text = planned[0].read_text()
    assert text.startswith("# Written by whimbrel plan")
    assert 'metric = "macro_roc_auc"' in text and "\n[[member]]\n" in text and "\n[[pareto]]\n" in text


def test_what_is_measured_leaves_nothing_behind(planned):
    assert [path.name for path in planned[0].parent.iterdir()] == ["plan.toml"]


def test_workload_of_recordings_is_counted_without_running_them(whimbrel, networks, recordings, tmp_path):
    done = plan(whimbrel, networks, recordings, tmp_path / "p.toml", "--json", "--cores", "8", workload=recordings)
    chosen = json.loads(done.stdout)["plan"]
    assert chosen["workload_windows"] == 6 * SECONDS
    assert chosen["workload_s"] == 6 * SECONDS
    assert chosen["cores"] == 8


def test_summary_names_what_was_compared(whimbrel, networks, recordings, tmp_path):
    done = plan(whimbrel, networks, recordings, tmp_path / "p.toml", "--metric", "macro_ap")
    assert done.returncode == 0, done.stderr
    for words in (
        "best single model",
        "best equal weights",
        "best weights",
        "expected score",
        "expected time",
        "what time buys",
    ):
        assert words in done.stdout
    assert "scores by macro_ap on 240 windows" in done.stdout


def test_cascade_runs_a_dear_network_where_a_cheap_one_hears_something(whimbrel, tmp_path):
    recordings = write_recordings(tmp_path / "validation", 5, 0.15, 8)
    write_network(tmp_path / "models", "cheap", 1, 0.5, 1)
    write_network(tmp_path / "models", "dear", 2, 0.2, 256)
    out = tmp_path / "plan.toml"
    done = plan(whimbrel, tmp_path / "models", recordings, out, "--json", "--cascade", "always", "--max-loss", "0.02")
    assert done.returncode == 0, done.stderr
    chosen = json.loads(done.stdout)["plan"]
    assert chosen["method"] == "cascade"
    assert chosen["members"][chosen["cascade"]["gate"]]["name"] == "cheap"
    assert 0 < chosen["cascade"]["expected_share"] < 0.8
    assert "[cascade]" in out.read_text()

    alone = {name: scores(whimbrel, recordings, tmp_path / name, "--model", tmp_path / f"models/{name}.toml")
             for name in ("cheap", "dear")}  # fmt: skip
    both = scores(whimbrel, recordings, tmp_path / "run", "--plan", out)
    weights = {member["name"]: member["weight"] for member in chosen["members"]}
    gate = alone["cheap"].astype(np.float64)
    mean = sum(weights[name] * alone[name] for name in alone) / sum(weights.values())
    logit = chosen["cascade"]["slope"] * np.log(gate / (1 - gate)) + chosen["cascade"]["offset"]
    passes = gate.max(axis=1, keepdims=True) >= chosen["cascade"]["threshold"]
    assert passes.mean() == pytest.approx(chosen["cascade"]["expected_share"])
    np.testing.assert_allclose(both, np.where(passes, mean, 1 / (1 + np.exp(-logit))), atol=1e-5)


@pytest.mark.slow
def test_the_example_network_is_planned_with_its_noisy_copies(whimbrel, tmp_path):
    command = [sys.executable, ROOT / "examples/dawn_chorus/synthesize.py", "--recordings", 4, "--seconds", 60, "--seed", 5]
    subprocess.run([*map(str, command), "--formats", "wav", "-o", str(tmp_path / "field")], check=True, capture_output=True)
    source = ROOT / "examples/dawn_chorus/model"
    manifest = re.sub(r"\[probe\][^\[]*", "", (source / "dawn_chorus.toml").read_text())
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "labels.txt").write_bytes((source / "labels.txt").read_bytes())
    rng = np.random.default_rng(3)
    for i, noise in enumerate((0.0, 0.02, 0.3)):
        model = onnx.load(source / "dawn_chorus.onnx")
        for weight in model.graph.initializer:
            value = numpy_helper.to_array(weight)
            if value.ndim > 1 and value.dtype == np.float32:
                value = value + noise * value.std() * rng.standard_normal(value.shape).astype(np.float32)
                weight.CopyFrom(numpy_helper.from_array(value, weight.name))
        onnx.save(model, folder / f"copy{i}.onnx")
        text = manifest.replace('"dawn_chorus.onnx"', f'"copy{i}.onnx"')
        (folder / f"copy{i}.toml").write_text(re.sub(r'name = "[^"]*"', f'name = "copy{i}"', text, count=1))
    out = tmp_path / "plan.toml"
    done = plan(whimbrel, folder, tmp_path / "field", out, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    by_name = {candidate["name"]: candidate["score"] for candidate in report["candidates"]}
    assert by_name["copy0"] > by_name["copy2"]
    assert report["plan"]["expected_score"] > 0.6
    assert run(whimbrel, "predict", tmp_path / "field", "--plan", out, "--out", tmp_path / "run").returncode == 0


# --- what is refused


def changed_truth(recordings, tmp_path, change):
    with open(recordings / "truth.csv", newline="") as file:
        rows = list(csv.reader(file))
    change(rows)
    with open(tmp_path / "changed.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path / "changed.csv"


def unknown_recording(rows):
    rows.append(["other_1", "0", "0", "0", "1"])


def unknown_class(rows):
    rows[0].append("curlew")
    for row in rows[1:]:
        row.append("0")


def no_positives(rows):
    rows[1:] = [[row[0], "0", "0", "0", "0"] for row in rows[1:]]


def missing_row(rows):
    del rows[7]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (unknown_recording, "other_1"),
        (unknown_class, "curlew"),
        (no_positives, "none of 240 windows is positive"),
        (missing_row, "field0_7"),
    ],
)
def test_truth_that_does_not_fit_is_refused(whimbrel, networks, recordings, tmp_path, change, message):
    truth = changed_truth(recordings, tmp_path, change)
    done = plan(whimbrel, networks, recordings, tmp_path / "p.toml", "--quiet", truth=truth)
    assert done.returncode == 2
    assert message in done.stderr and "changed.csv" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["changed.csv"]


def test_a_budget_that_nothing_keeps_is_refused_with_what_it_takes(whimbrel, networks, recordings, tmp_path):
    done = plan(whimbrel, networks, recordings, tmp_path / "p.toml", "--json", budget="1s", workload="100000x10min")
    assert done.returncode == 2
    message = json.loads(done.stdout)["error"]["message"]
    assert re.search(r"budget 1\.0 s, but even \w+, the cheapest, needs about [\d.]+ min", message), message
    assert "predict --budget" in message
    assert not list(tmp_path.iterdir())


def test_an_empty_validation_folder_is_refused(whimbrel, networks, recordings, tmp_path):
    (tmp_path / "empty").mkdir()
    done = plan(whimbrel, networks, tmp_path / "empty", tmp_path / "p.toml", truth=recordings / "truth.csv")
    assert done.returncode == 2
    assert "no recordings in" in done.stderr and "empty" in done.stderr


def test_one_recording_is_too_few(whimbrel, networks, recordings, tmp_path):
    def first_only(rows):
        rows[:] = [row for row in rows if row[0] == "row_id" or row[0].startswith("field0_")]

    truth = changed_truth(recordings, tmp_path, first_only)
    done = plan(whimbrel, networks, recordings / "field0.wav", tmp_path / "p.toml", truth=truth)
    assert done.returncode == 2
    assert "1 validation recording, expected 2 or more" in done.stderr


def test_a_broken_validation_recording_is_named(whimbrel, networks, recordings, tmp_path):
    (tmp_path / "field").mkdir()
    (tmp_path / "field/field0.wav").write_bytes((recordings / "field0.wav").read_bytes())
    (tmp_path / "field/broken.wav").write_bytes(b"RIFF")
    done = plan(whimbrel, networks, tmp_path / "field", tmp_path / "p.toml", truth=recordings / "truth.csv")
    assert done.returncode == 2
    assert "1 of 2 validation recordings cannot be used" in done.stderr and "broken.wav" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", "soon"], "soon"),
        (["--workload", "0x10min"], "0x10min"),
        (["--workload", "nowhere"], "nowhere"),
        (["--truth", "nowhere.csv"], "nowhere.csv"),
        (["--metric", "macro_roc_acu"], "macro_roc_auc"),
        (["--cascade", "maybe"], "--cascade"),
        (["--cores", "0"], "--cores"),
        (["--model", "none*.toml"], "none*.toml"),
    ],
)
def test_options_that_mean_nothing_are_refused(whimbrel, networks, recordings, tmp_path, words, message):
    options = {"--model": networks / "fold0.toml", "--validation": recordings, "--truth": recordings / "truth.csv"}
    options |= {"--budget": "1h", "--workload": "2x10s", "-o": tmp_path / "p.toml", words[0]: words[1]}
    done = run(whimbrel, "plan", *(word for option in options.items() for word in option))
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def copied(planned, networks, folder):
    """The plan in a folder with models of its own."""
    (folder / "models").mkdir()
    for file in networks.iterdir():
        (folder / "models" / file.name).write_bytes(file.read_bytes())
    text = re.sub(r'model = ".*/([^/"]+)"', r'model = "models/\1"', planned[0].read_text())
    (folder / "plan.toml").write_text(text)
    return folder / "plan.toml"


def test_a_plan_finds_its_models_from_any_folder(whimbrel, networks, recordings, planned, tmp_path):
    path = copied(planned, networks, tmp_path)
    done = run(whimbrel, "predict", recordings / "field0.wav", "--plan", path, "--out", tmp_path / "out", cwd="/")
    assert done.returncode == 0, done.stderr


def test_a_model_that_changed_since_is_refused(whimbrel, networks, recordings, planned, tmp_path):
    path = copied(planned, networks, tmp_path)
    name = planned[1]["plan"]["members"][0]["name"]
    write_network(tmp_path / "models", name, 77, 1.0, 4)
    done = run(whimbrel, "predict", recordings, "--plan", path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert planned[1]["plan"]["members"][0]["hash_xxh3_128"] in done.stderr
    assert "whimbrel plan" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_plan_from_another_cpu_runs_with_a_warning(whimbrel, networks, recordings, planned, tmp_path):
    path = copied(planned, networks, tmp_path)
    path.write_text(re.sub(r'cpu = "[^"]*"', 'cpu = "Another CPU"', path.read_text()))
    done = run(whimbrel, "predict", recordings / "field0.wav", "--plan", path, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "made on Another CPU" in done.stderr


def test_a_plan_excludes_models(whimbrel, networks, recordings, planned, tmp_path):
    words = ["--plan", planned[0], "--model", networks / "fold0.toml", "--out", tmp_path / "out"]
    done = run(whimbrel, "predict", recordings, *words)
    assert done.returncode == 2
    assert "--plan" in done.stderr and "--model" in done.stderr


def test_a_plan_with_an_unknown_key_is_refused_with_its_line(whimbrel, networks, recordings, planned, tmp_path):
    path = copied(planned, networks, tmp_path)
    path.write_text(path.read_text().replace("cores = ", "coers = "))
    done = run(whimbrel, "predict", recordings, "--plan", path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert re.search(r'plan\.toml:\d+: .*cores is missing; did you mean it by "coers"\?', done.stderr), done.stderr
