"""`whimbrel bench` as a user meets it: every row has everything, failures are rows, and predict takes what was found."""

import csv
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import onnx
import pytest
import soundfile

QUICK = ("--seconds", "0.2")


def run(whimbrel, *words, timeout=300):
    return subprocess.run([str(whimbrel), *map(str, words)], capture_output=True, text=True, timeout=timeout)


def bench(whimbrel, *words):
    done = run(whimbrel, "bench", *words, *QUICK, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """What is found here must not choose the engine of other tests' runs."""
    monkeypatch.setenv("WHIMBREL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # a bench that is killed leaves its folder


@pytest.fixture
def model(root, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(root / "examples/dawn_chorus/model", folder)
    return folder / "dawn_chorus.toml"


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(4):
        t = np.arange(32000 * 40) / 32000
        chirps = np.sin(2 * np.pi * (2000 + 500 * i + 300 * np.sin(2 * np.pi * 3 * t)) * t) * (np.sin(2 * np.pi * 0.3 * t) > 0)
        soundfile.write(folder / f"{i}.wav", 0.2 * chirps + 0.02 * random.standard_normal(t.size), 32000)
    return folder


def certify(whimbrel, model, name):
    """A copy of the network as an INT8 model of `whimbrel quantize` would look from outside."""
    path = model.with_name("dawn_chorus.onnx")
    (form,) = bench(whimbrel, model, "--batch", "1", "--engine", "onnxruntime")["models"][0]["forms"]
    network = onnx.load(path)
    verdict = {
        "format": 1,
        "keep_fp32": False,
        "engine": "onnxruntime",
        "cpu": "any",
        "integer_path": "any",
        "source": path.name,
        "source_hash": form["hash_xxh3_128"],
        "verdict": "INT8 wins",
    }
    entry = network.metadata_props.add()
    entry.key, entry.value = "whimbrel.int8", json.dumps(verdict)
    onnx.save(network, model.with_name(f"{name}.onnx"))
    model.with_name(f"{name}.toml").write_text(model.read_text().replace('"dawn_chorus.onnx"', f'"{name}.onnx"'))


def test_every_row_has_everything_in_a_sane_relation(whimbrel, model):
    result = bench(whimbrel, model)
    cpu = result["cpu"]
    assert cpu["fma_per_s"] > 1e9 and cpu["integer_per_s"] > 1e9
    assert result["engines"].keys() == {"onnxruntime", "openvino"}
    (measured,) = result["models"]
    (form,) = measured["forms"]
    assert form["precision"] == "fp32"
    assert form["parameters"] > 0 and form["macs"] > 0
    assert form["file_bytes"] == (model.parent / "dawn_chorus.onnx").stat().st_size
    rows = measured["rows"]
    assert {(row["engine"], row["batch"]) for row in rows} >= {
        (engine, batch) for engine in ("onnxruntime", "openvino") for batch in (1, 4)
    }
    assert len(rows) == 5, "and the batch beside the better one"
    assert measured["best"] == 0
    assert [row["windows_per_s"] for row in rows] == sorted((row["windows_per_s"] for row in rows), reverse=True)
    for row in rows:
        assert "error" not in row
        assert 0 < row["windows_per_s_low"] <= row["windows_per_s"] <= row["windows_per_s_high"]
        assert 0 < row["latency_p50_ms"] <= row["latency_p90_ms"] <= row["latency_p99_ms"]
        assert row["start_s"] > 0 and row["first_inference_s"] > 0
        assert row["peak_rss_bytes"] > 10_000_000
        expected = 2 * form["macs"] * row["windows_per_s"] / (cpu["fma_per_s"] * row["workers"])
        assert row["peak_share"] == pytest.approx(expected)
        assert row["workers"] == cpu["cores_allowed"]
        assert row["max_difference"] < 1e-3
    reference = rows[measured["reference"]]
    assert (reference["engine"], reference["batch"]) == ("onnxruntime", 1)
    assert reference["max_difference"] == 0 and reference["sqnr_db"] is None
    assert measured["compared_on"] == "noise"
    assert measured["ranking"]


def test_full_measures_the_whole_product(whimbrel, model):
    done = run(whimbrel, "bench", model, "--full", "--json", "--seconds", "0.1", "--engine", "onnxruntime")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    cores = result["cpu"]["cores_allowed"]
    workers = {cores} | {2**i for i in range(10) if 2**i < cores}
    rows = result["models"][0]["rows"]
    assert {(row["batch"], row["workers"]) for row in rows} == {(b, w) for b in (1, 2, 4, 8, 16) for w in workers}


def test_predict_takes_the_best_setting_that_bench_found(whimbrel, model, recordings, tmp_path):
    best = bench(whimbrel, model)["models"][0]["rows"][0]
    done = run(whimbrel, "predict", recordings / "0.wav", "--model", model, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    member = json.loads((tmp_path / "out/run.json").read_text())["models"][0]
    assert (member["engine"], member["batch"]) == (best["engine"], best["batch"])


def test_a_narrowed_search_is_not_kept(whimbrel, model, tmp_path):
    bench(whimbrel, model, "--engine", "openvino", "--batch", "2,3")
    assert not (tmp_path / "cache/tuning.json").exists()


def test_outputs_are_compared_on_recordings(whimbrel, model, recordings):
    result = bench(whimbrel, model, "--batch", "3", "--recordings", recordings)
    measured = result["models"][0]
    assert measured["compared_on"] == "recordings"
    assert 8 <= measured["compared_windows"] <= 64
    for row in measured["rows"]:
        assert row["top1"] == 1
        assert row["max_difference"] < 1e-3, "windows beyond the last whole batch count too"


def test_finds_the_forms_beside_the_model(whimbrel, model):
    model.write_text(re.sub("tolerance = .*", "tolerance = 0.01", model.read_text()))  # of FP16 weights
    certify(whimbrel, model, "small")
    done = run(whimbrel, "convert", model, "-o", model.with_suffix(".xml"), "--fp16")
    assert done.returncode == 0, done.stderr
    measured = bench(whimbrel, model, "--batch", "1")["models"][0]
    assert {(row["file"], row["precision"], row["engine"]) for row in measured["rows"]} == {
        ("dawn_chorus.onnx", "fp32", "onnxruntime"),
        ("dawn_chorus.onnx", "fp32", "openvino"),
        ("dawn_chorus.xml", "fp16 weights", "openvino"),
        ("small.onnx", "int8", "onnxruntime"),
        ("small.onnx", "int8", "openvino"),
    }
    by_precision = {row["precision"]: row for row in measured["rows"]}
    assert 30 < by_precision["fp16 weights"]["sqnr_db"] < 100
    assert "INT8 wins" in [form["certificate"] for form in measured["forms"]]


@pytest.mark.slow
def test_finds_what_quantize_made(whimbrel, model, recordings):
    cheap = ("--target", "onnxruntime", "--observer", "minmax")
    two = (recordings / "0.wav", recordings / "1.wav")
    done = run(whimbrel, "quantize", model, "--calibrate", *two, "-o", model.with_name("q.onnx"), "--samples", "8", *cheap)
    assert done.returncode == 0, done.stderr
    measured = bench(whimbrel, model, "--batch", "1", "--recordings", recordings)["models"][0]
    int8 = [row for row in measured["rows"] if row["precision"] == "int8"]
    assert {row["file"] for row in int8} == {"q.onnx"}
    assert all(0 < row["sqnr_db"] < 80 and 0 <= row["top1"] <= 1 and row["peak_share"] > 0 for row in int8)


def test_the_table_fits_a_terminal_and_marks_the_best(whimbrel, model, recordings):
    done = run(whimbrel, "bench", model, "--batch", "1", "--recordings", recordings, *QUICK)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    table = [line for line in lines if line.startswith(("* ", "  ", "dawn_chorus "))]
    assert len(table) == 3 and all(len(line) <= 120 for line in table)
    assert sum(line.startswith("* ") for line in table) == 1
    assert "of the recordings" in done.stdout
    assert "round 9 of 9" in done.stderr


def test_writes_a_csv_of_the_rows(whimbrel, model, tmp_path):
    result = bench(whimbrel, model, "--csv", tmp_path / "out/rows.csv", "--batch", "1")
    with open(tmp_path / "out/rows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    measured = result["models"][0]["rows"]
    assert [row["engine"] for row in rows] == [row["engine"] for row in measured]
    assert [float(row["windows_per_s"]) for row in rows] == [row["windows_per_s"] for row in measured]
    assert [row["best"] for row in rows] == ["1", "0"]
    assert all(row["macs"] and not row["error"] for row in rows)


def test_a_form_that_does_not_open_is_a_row_with_its_reason(whimbrel, model):
    model.with_suffix(".xml").write_text("<net/>")
    rows = bench(whimbrel, model, "--batch", "1")["models"][0]["rows"]
    assert [row["file"] for row in rows] == ["dawn_chorus.onnx", "dawn_chorus.onnx", "dawn_chorus.xml"]
    assert "error" in rows[2] and "windows_per_s" not in rows[2]
    shown = run(whimbrel, "bench", model, "--batch", "1", "--quiet", *QUICK)
    assert shown.returncode == 0
    assert "dawn_chorus.xml" in shown.stdout


def test_nothing_that_opens_is_fatal(whimbrel, model):
    model.with_name("dawn_chorus.onnx").write_bytes(b"no network")
    done = run(whimbrel, "bench", model, "--json", *QUICK)
    assert done.returncode == 3
    measured = json.loads(done.stdout)["models"][0]
    assert measured["best"] is None and all(row["error"] for row in measured["rows"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("none.toml",), "none.toml"),
        (("MODEL", "--engine", "torchscript"), "none of the engines named reads this model"),
        (("MODEL", "--engine", "abacus"), "abacus"),
        (("MODEL", "--batch", "0"), "--batch"),
        (("MODEL", "--recordings", "none.wav"), "none.wav"),
        ((), "MODEL"),
    ],
)
def test_what_cannot_be_measured_is_said_at_once(whimbrel, model, words, said):
    done = run(whimbrel, "bench", *[model if word == "MODEL" else word for word in words], "--json")
    assert done.returncode == 2
    assert said in json.loads(done.stdout)["error"]["message"]


def children_of(process):
    return [int(child) for child in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def started(whimbrel, *words):
    """A bench that has begun with its rounds, and its rows' processes."""
    process = subprocess.Popen([whimbrel, "bench", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "round 1" in line:
            return process, children_of(process)
    raise AssertionError(process.stdout.read())


def is_there(pid):
    return pathlib.Path(f"/proc/{pid}").exists()


def test_ctrl_c_ends_it_with_its_processes(whimbrel, model):
    process, children = started(whimbrel, model, "--batch", "1", "--seconds", "60")
    assert len(children) == 2
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3 and "stopped as asked" in said
    assert not any(is_there(child) for child in children)


def test_rows_do_not_outlive_a_bench_that_is_killed(whimbrel, model):
    process, children = started(whimbrel, model, "--batch", "1", "--seconds", "60")
    process.kill()
    process.communicate(timeout=60)
    for _ in range(600):
        if not any(is_there(child) for child in children):
            return
        time.sleep(0.1)
    raise AssertionError("processes of rows are still there")


def test_a_row_whose_process_is_killed_is_a_row_with_its_reason(whimbrel, model):
    process, children = started(whimbrel, model, "--batch", "1", "--seconds", "5")
    os.kill(children[0], signal.SIGKILL)
    shown, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "ended by signal 9" in shown
