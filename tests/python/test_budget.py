"""`predict --budget`: what it promises holds whatever the machine does. No test asks how fast anything is."""

import csv
import json
import pathlib
import sys

import numpy as np
import pytest
import soundfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "data"))

from small_networks import CLASSES, LABELS, RATE, Network, files_of, run, sigmoid, write_plan, write_recording

pytestmark = pytest.mark.serial
SECONDS = 300  # and windows of each of the long recordings
ENGINE = ["--engine", "onnxruntime", "--batch", "1"]
# A window takes tens of milliseconds anywhere: 1200 of them are never done in BUDGET_S on less than 30 cores.
SLOW = 240
BUDGET_S = 5
THREADS = ["--threads", "2"]


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    folder = tmp_path_factory.mktemp("short")
    write_recording(folder / "a.wav", 12, 1)
    write_recording(folder / "b.wav", 5.8, 2)
    return folder


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    for i in range(4):
        write_recording(folder / f"r{i}.wav", SECONDS, 10 + i)
    return folder


@pytest.fixture(scope="module")
def network():
    return Network(1)


@pytest.fixture(scope="module")
def models(network, tmp_path_factory):
    """Quick, quick with other weights, slow."""
    folder = tmp_path_factory.mktemp("models")
    quick = network.write(folder, "quick")
    return {"quick": quick, "other": Network(2).write(folder, "other"), "slow": Network(3).write(folder, "slow", slow=SLOW)}


def predict(whimbrel, recordings, models, out, *words):
    named = [word for model in models for word in ("--model", model)]
    return run(whimbrel, "predict", recordings, *named, "--out", out, *ENGINE, *words)


def record_of(out):
    return json.loads((out / "run.json").read_text())


def table_of(path):
    """({row id: scores}, in the file's order) of a submission."""
    with path.open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["row_id", *LABELS]
    table = {row[0]: np.array(row[1:], np.float32) for row in rows[1:]}
    assert len(table) == len(rows) - 1
    return table


def row_ids(names, seconds=SECONDS):
    return [f"{name}_{second}" for name in names for second in range(1, seconds + 1)]


def assert_filled(record, scores, rows_of_recording):
    """Rows that were not scored stand behind those that were, in each recording, and hold the mean of all that were."""
    filled, scored = [], []
    begin = 0
    for recording, rows in zip(record["recordings"], rows_of_recording, strict=True):
        part = scores[begin : begin + rows]
        begin += rows
        assert recording["windows"] + recording.get("windows_filled", 0) == rows
        scored.append(part[: recording["windows"]])
        filled.append(part[recording["windows"] :])
        state = "done" if len(filled[-1]) == 0 else "partial" if len(scored[-1]) else "cancelled"
        assert recording["state"] == state
        assert ("time budget" in recording.get("error", "")) == (state != "done")
    assert begin == len(scores)
    filled, scored = np.concatenate(filled), np.concatenate(scored).astype(np.float64)
    assert len(filled) and len(scored)
    np.testing.assert_allclose(filled, np.broadcast_to(scored.mean(axis=0), filled.shape), rtol=0, atol=1e-6)
    assert record["budget"]["rows_filled"] == record["summary"]["rows_filled"] == len(filled)
    assert record["summary"]["windows"] == len(scored)
    return len(scored)


# --- what is refused


@pytest.mark.parametrize("budget", ["soon", "", "-5s", "0", "5 parsecs", "1h2h", "nan", "1000000h"])
def test_a_budget_that_is_no_time_is_refused(whimbrel, short, models, tmp_path, budget):
    done = predict(whimbrel, short, [models["quick"]], tmp_path / "out", f"--budget={budget}")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "out").exists()


def test_a_budget_shorter_than_the_start_is_refused(whimbrel, short, models, tmp_path):
    done = predict(whimbrel, short, [models["quick"]], tmp_path / "out", "--budget", "0.01s")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "--budget" in done.stderr and "start-up" in done.stderr, done.stderr
    assert not list((tmp_path / "out").glob("*"))


# --- enough time


def test_with_time_enough_the_output_is_that_of_a_run_without_budget(whimbrel, short, models, tmp_path):
    members = [models["quick"], models["other"]]
    words = ["--format", "kaggle,csv,raven,audacity,kaleidoscope,jsonl,npy", "--embeddings"]
    assert predict(whimbrel, short, members, tmp_path / "free", *words).returncode == 0
    for threads in (1, 3):
        out = tmp_path / f"{threads}"
        done = predict(whimbrel, short, members, out, *words, "--budget", "10min", "--threads", threads)
        assert done.returncode == 0, done.stderr
        assert files_of(out) == files_of(tmp_path / "free")
        record = record_of(out)
        assert record["budget"] == {"budget_s": 600, "ran_out": False, "rows_filled": 0, "changes": []}
        assert all("windows_filled" not in recording for recording in record["recordings"])
    assert "budget" not in record_of(tmp_path / "free")


# --- too little


def test_what_cannot_be_scored_in_time_is_filled(whimbrel, long, models, tmp_path):
    words = ["--format", "npy,kaggle,csv", "--budget", f"{BUDGET_S}s", *THREADS]
    done = predict(whimbrel, long, [models["slow"]], tmp_path, *words)
    assert done.returncode == 1
    assert "time ran out" in done.stderr
    record = record_of(tmp_path)
    assert record["budget"]["ran_out"] and record["budget"]["budget_s"] == BUDGET_S
    assert not record["summary"]["stopped_early"]
    assert record["summary"]["wall_s"] < BUDGET_S + 5
    scores = np.load(tmp_path / "scores.npy")
    assert scores.shape == (4 * SECONDS, CLASSES) and np.isfinite(scores).all()
    scored = assert_filled(record, scores, [SECONDS] * 4)

    submission = table_of(tmp_path / "submission.csv")
    assert list(submission) == row_ids(["r0", "r1", "r2", "r3"])
    np.testing.assert_array_equal(np.array(list(submission.values())), scores)
    with (tmp_path / "scores.index.csv").open() as file:
        assert [row["start_s"] for row in csv.DictReader(file)] == [f"{s}.0" for s in range(SECONDS)] * 4
    with (tmp_path / "detections.csv").open() as file:
        found = {(pathlib.Path(row["File"]).stem, float(row["End (s)"])) for row in csv.DictReader(file)}
    ends = {(r, s) for r, recording in enumerate(record["recordings"]) for s in range(1, recording["windows"] + 1)}
    assert found <= {(f"r{r}", float(s)) for r, s in ends} and len(ends) == scored


def test_scores_in_time_are_those_of_the_network(whimbrel, long, models, tmp_path):
    words = ["--format", "npy", "--budget", f"{BUDGET_S}s", *THREADS]
    assert predict(whimbrel, long, [models["slow"]], tmp_path, *words).returncode == 1
    windows = record_of(tmp_path)["recordings"][0]["windows"]
    samples = soundfile.read(long / "r0.wav", dtype="float32")[0].reshape(-1, RATE)
    expected = sigmoid(Network(3).logits(samples[:windows]))
    # Single precision inside the engine: sums of 800 products of order 1.
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy")[:windows], expected, rtol=0, atol=1e-5)


def test_a_sample_submission_is_complete(whimbrel, long, models, tmp_path):
    wanted = [*row_ids(["r3"], 40), "elsewhere_5", *row_ids(["r0"])[::-1]]
    with (tmp_path / "sample.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["row_id", *LABELS], *([row] + ["0"] * CLASSES for row in wanted)])
    words = ["--format", "kaggle", "--sample-submission", tmp_path / "sample.csv", "--budget", f"{BUDGET_S}s", *THREADS]
    done = predict(whimbrel, long, [models["slow"]], tmp_path / "out", *words)
    assert done.returncode == 1
    record = record_of(tmp_path / "out")
    submission = table_of(tmp_path / "out/submission.csv")
    assert list(submission) == wanted
    scored = {f"r{r}_{s}" for r, one in enumerate(record["recordings"]) for s in range(1, one["windows"] + 1)}
    mean = np.mean([submission[row] for row in wanted if row in scored], axis=0, dtype=np.float64)
    filled = np.array([submission[row] for row in wanted if row not in scored])
    np.testing.assert_allclose(filled, np.broadcast_to(mean, filled.shape), rtol=0, atol=1e-6)
    assert record["summary"]["rows_filled"] == record["budget"]["rows_filled"] == len(filled)


def test_a_slow_member_is_dropped_so_that_all_windows_are_scored(whimbrel, long, network, models, tmp_path):
    words = ["--format", "npy,kaggle", "--budget", "10s", *THREADS]
    done = predict(whimbrel, long, [models["quick"], models["slow"]], tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert "slow dropped" in done.stderr
    record = record_of(tmp_path)
    assert not record["budget"]["ran_out"] and record["budget"]["rows_filled"] == 0
    first = record["budget"]["changes"][0]
    assert (first["name"], first["model"], first["what"]) == ("slow", 1, "dropped")
    assert {change["name"] for change in record["budget"]["changes"]} == {"slow"}
    samples = np.concatenate([soundfile.read(path, dtype="float32")[0] for path in sorted(long.iterdir())]).reshape(-1, RATE)
    quick, slow = (sigmoid(n.logits(samples)) for n in (network, Network(3)))
    scores = np.load(tmp_path / "scores.npy")
    assert len(scores) == 4 * SECONDS == record["summary"]["windows"]
    is_quick = np.abs(scores - quick).max(axis=1) < 1e-5
    is_both = np.abs(scores - (quick + slow) / 2).max(axis=1) < 1e-5
    assert (is_quick ^ is_both).all() and is_quick.any()


def test_a_member_that_takes_too_long_to_open_is_left_out(whimbrel, short, network, models, tmp_path):
    """By the size of its file, as no more is known of it. Here it is a hole, which no engine would open."""
    huge = Network(2).write(tmp_path / "model", "huge")
    with huge.with_suffix(".onnx").open("ab") as file:
        file.write(b"\xc2\x3e\x80\x80\x80\x80\x04")  # a field that ONNX does not know, of 1 GB
        file.truncate(file.tell() + (1 << 30))
    words = ["--format", "npy", "--budget", "12s"]
    done = predict(whimbrel, short, [models["slow"], huge], tmp_path / "out", *words)
    assert done.returncode == 0, done.stderr
    assert "huge: left out, as opening it would end" in done.stderr and "huge was not opened" in done.stderr
    record = record_of(tmp_path / "out")
    assert [model.get("opened", True) for model in record["models"]] == [True, False]
    assert predict(whimbrel, short, [models["slow"]], tmp_path / "alone", "--format", "npy").returncode == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out/scores.npy"), np.load(tmp_path / "alone/scores.npy"))


def test_smoothed_scores_are_filled_with_the_mean_of_what_is_written(whimbrel, long, models, tmp_path):
    words = ["--format", "npy", "--smooth", "1,2,1", "--prior", "max", "--budget", f"{BUDGET_S}s", *THREADS]
    assert predict(whimbrel, long, [models["slow"]], tmp_path, *words).returncode == 1
    assert_filled(record_of(tmp_path), np.load(tmp_path / "scores.npy"), [SECONDS] * 4)


def test_ranks_are_filled_too(whimbrel, long, models, tmp_path):
    words = ["--format", "npy", "--mean", "rank", "--budget", f"{BUDGET_S}s", *THREADS]
    done = predict(whimbrel, long, [models["slow"]], tmp_path, *words)
    assert done.returncode == 1, done.stderr
    scores = np.load(tmp_path / "scores.npy")
    assert_filled(record_of(tmp_path), scores, [SECONDS] * 4)
    np.testing.assert_allclose(scores.mean(axis=0), 0.5, rtol=0, atol=1e-6)


def run_out(whimbrel, recordings, folder, members, batches, *words):
    """A run of members that want unlike batches, by a plan: the smaller ones are ahead when the time runs out."""
    write_recording(folder / "short.wav", 2, 1)
    assert predict(whimbrel, folder / "short.wav", members, folder / "all").returncode == 0
    plan = write_plan(folder / "plan.toml", members, (1, 1), record_of(folder / "all"), batches=batches)
    words = ["--plan", plan, "--format", "npy,jsonl", "--budget", f"{BUDGET_S}s", *THREADS, *words]
    return run(whimbrel, "predict", recordings, "--out", folder / "out", *words)


CLIP, EMBEDDED = 'clip = "clip"', 'embedding = "embedding"'
FRAMED = ['frame = "frame"', 'frame_axis = "class_last"']


def test_embeddings_are_those_of_windows_that_have_some(whimbrel, long, network, tmp_path):
    members = [network.write(tmp_path, "ahead", slow=SLOW, output=[CLIP, *FRAMED])]
    members.append(Network(3).write(tmp_path, "behind", output=[CLIP, EMBEDDED]))
    done = run_out(whimbrel, long, tmp_path, members, (1, 64), "--embeddings", "--events")
    assert done.returncode == 1, done.stderr
    assert_filled(record_of(tmp_path / "out"), np.load(tmp_path / "out/scores.npy"), [SECONDS] * 4)
    assert np.load(tmp_path / "out/embeddings.npy").any(axis=1).all()


def test_events_are_those_of_windows_that_have_frames(whimbrel, long, network, tmp_path):
    members = [Network(3).write(tmp_path, "behind", output=[CLIP, *FRAMED])]
    members.append(network.write(tmp_path, "ahead", slow=SLOW, output=[CLIP, EMBEDDED]))
    done = run_out(whimbrel, long, tmp_path, members, (64, 1), "--embeddings", "--events")
    assert done.returncode == 1, done.stderr
    assert_filled(record_of(tmp_path / "out"), np.load(tmp_path / "out/scores.npy"), [SECONDS] * 4)


def test_a_bad_recording_among_those_not_reached_stops_nothing(whimbrel, long, models, tmp_path):
    (tmp_path / "field").mkdir()
    for path in long.iterdir():
        (tmp_path / "field" / path.name).symlink_to(path)
    (tmp_path / "field/z_broken.wav").write_bytes(b"RIFF")
    words = ["--format", "npy,kaggle", "--budget", f"{BUDGET_S}s", *THREADS]
    done = predict(whimbrel, tmp_path / "field", [models["slow"]], tmp_path / "out", *words)
    assert done.returncode == 1
    record = record_of(tmp_path / "out")
    assert record["recordings"][-1]["state"] in ("failed", "cancelled") and record["recordings"][-1]["windows"] == 0
    record["recordings"].pop()
    assert_filled(record, np.load(tmp_path / "out/scores.npy"), [SECONDS] * 4)
    assert list(table_of(tmp_path / "out/submission.csv")) == row_ids(["r0", "r1", "r2", "r3"])
