"""`predict --max-memory`: as many workers as fit, the same output, and a clean end where memory grows all the same."""

import json
import os
import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "data"))

from small_networks import Network, files_of, run, write_recording

MB = 1_000_000


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    for seed, seconds in enumerate((12, 5, 9)):
        write_recording(folder / f"r{seed}.wav", seconds, seed)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return Network(1).write(tmp_path_factory.mktemp("models"), "a")


def predict(whimbrel, recordings, model, out, *words, env=None):
    command = ["predict", recordings, "--model", model, "--out", out, "--batch", 2, "--format", "npy,csv"]
    if "--engine" not in words:
        command += ["--engine", "onnxruntime"]
    return run(whimbrel, *command, *words, env=env)


def needed_bytes(whimbrel, recordings, model, out, *words, env=None):
    """What one worker needs, as the refusal of a limit that is a little too small says."""
    low = 10 * MB
    for _ in range(20):
        done = predict(whimbrel, recordings, model, out, "--max-memory", low, *words, env=env)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
        if found := re.search(r"needs about (\d+) MB with one worker", done.stderr):
            return int(found[1]) * MB
        low = int(re.search(r"holds (\d+) MB after opening", done.stderr)[1]) * MB + MB
    raise AssertionError(done.stderr)


def record_of(out):
    return json.loads((out / "run.json").read_text())


@pytest.mark.parametrize("size", ["", "lots", "-1G", "0", "2 G", "5parsecs"])
def test_a_limit_that_is_no_size_is_refused(whimbrel, recordings, model, tmp_path, size):
    done = predict(whimbrel, recordings, model, tmp_path / "out", f"--max-memory={size}")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "out").exists()


def test_a_limit_that_no_worker_fits_in_says_what_is_needed(whimbrel, recordings, model, tmp_path):
    needed = needed_bytes(whimbrel, recordings, model, tmp_path / "out")
    assert 20 * MB < needed < 1000 * MB
    assert not list((tmp_path / "out").glob("*"))


def test_a_limit_with_room_for_all_changes_nothing(whimbrel, recordings, model, tmp_path):
    assert predict(whimbrel, recordings, model, tmp_path / "free", "--threads", 3).returncode == 0
    done = predict(whimbrel, recordings, model, tmp_path / "held", "--threads", 3, "--max-memory", "50G")
    assert done.returncode == 0, done.stderr
    assert files_of(tmp_path / "held") == files_of(tmp_path / "free")
    settings = record_of(tmp_path / "held")["settings"]
    assert settings["workers"] == 3 and settings["max_memory_bytes"] == 50_000_000_000
    assert record_of(tmp_path / "free")["settings"]["max_memory_bytes"] == 0


def test_fewer_workers_where_not_all_fit_and_the_same_bytes(whimbrel, recordings, model, tmp_path):
    """Each worker reads for itself, which is counted, so the needs of eight are far above those of one."""
    assert predict(whimbrel, recordings, model, tmp_path / "free", "--threads", 8).returncode == 0
    limit = needed_bytes(whimbrel, recordings, model, tmp_path / "no", "--threads", 8) + 6 * MB
    done = predict(whimbrel, recordings, model, tmp_path / "held", "--threads", 8, "--max-memory", limit)
    assert done.returncode == 0, done.stderr
    assert "workers fit in --max-memory" in done.stderr
    assert record_of(tmp_path / "held")["settings"]["workers"] <= 2
    assert "the process holds" not in done.stderr  # which is what the run itself would have said above the limit
    assert files_of(tmp_path / "held") == files_of(tmp_path / "free")


@pytest.mark.parametrize("budget", [[], ["--budget", "10min"]])
def test_memory_that_grows_all_the_same_ends_the_run_cleanly(whimbrel, build, model, tmp_path, budget):
    """An engine that keeps some megabytes of each batch, for a recording that it would need gigabytes for."""
    folder = build / "tests/doctored"
    if not (folder / "whimbrel-openvino.so").exists():
        pytest.skip(f"no whimbrel-openvino.so in {folder}: build the target doctored_engine")
    doctored = {"WHIMBREL_ENGINE_PATH": str(folder), "WHIMBREL_CACHE": "/dev/null/no-cache", "WHIMBREL_DOCTOR": "grow@50+"}
    words = ["--engine", "openvino", "--threads", 2]
    (tmp_path / "field").mkdir()
    write_recording(tmp_path / "field/a.wav", 20, 1)
    write_recording(tmp_path / "field/b.wav", 600, 2)
    output = tmp_path / "model"
    output.mkdir()
    for path in model.parent.iterdir():
        (output / path.name).write_bytes(path.read_bytes())
    text = re.sub(r"(?ms)^\[output\].*", '[output]\nclip = "clip"\n', model.read_text())
    (output / model.name).write_text(text)
    model = output / model.name
    env = os.environ | doctored
    limit = needed_bytes(whimbrel, tmp_path / "field", model, tmp_path / "no", *words, env=env) + 60 * MB
    done = predict(whimbrel, tmp_path / "field", model, tmp_path / "out", *words, "--max-memory", limit, *budget, env=env)
    assert done.returncode == 1, done.stderr
    assert "going on with 1 worker" in done.stderr and "stopping: the process holds" in done.stderr
    record = record_of(tmp_path / "out")
    assert "--max-memory" in record["summary"]["stop_reason"]
    first, second = record["recordings"]
    rows = len((tmp_path / "out/scores.index.csv").read_text().splitlines()) - 1
    if budget:  # a run with a budget has promised a row for every window
        assert first["state"] == "done" and second["state"] == "partial" and rows == 20 + 600
        assert second["error"] == f"the run stopped by itself after {second['windows']} of 600 windows"
    else:
        assert record["summary"]["stopped_early"]
        assert first["state"] == "done" and second["state"] == "cancelled" and rows == 20


def test_a_predictor_takes_it_too(model, recordings):
    import whimbrel

    with pytest.raises(whimbrel.Error, match="--max-memory is 1 MB"):
        whimbrel.Predictor(model, engine="onnxruntime", max_memory="1M")
    assert len(whimbrel.Predictor(model, engine="onnxruntime", max_memory="50G").predict(str(recordings)).scores) == 26
