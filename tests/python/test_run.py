"""Runs of several members, shifted windows, cascades, and outputs beside the scores: each done again with NumPy."""

import csv
import json
import pathlib
import sys

import numpy as np
import onnxruntime
import pytest
import scipy.ndimage
import scipy.stats
import soundfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "data"))

from small_networks import (
    CLASSES,
    EMBEDDING,
    FRAMES,
    LABELS,
    RATE,
    Network,
    files_of,
    run,
    sigmoid,
    write_plan,
    write_recording,
)

WEIGHTS = (1.0, 2.5, 0.5)
# Single precision inside the engine: sums of 800 products of order 1.
CLOSE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Three: of whole windows, with a part of one at the end, and shorter than one. Silent windows in two of them."""
    folder = tmp_path_factory.mktemp("run") / "field"
    folder.mkdir()
    write_recording(folder / "a.wav", 23, 1, [(4, 8), (15, 16.25)])
    write_recording(folder / "b.wav", 11.7, 2, [(0, 2), (9.5, 11)])
    write_recording(folder / "c.wav", 0.6, 3)
    return folder


@pytest.fixture(scope="module")
def networks():
    return [Network(seed, offset) for seed, offset in ((1, 0.0), (2, -0.5), (3, 0.5))]


@pytest.fixture(scope="module")
def models(networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [n.write(folder, f"fold{i}", weight=w) for i, (n, w) in enumerate(zip(networks, WEIGHTS, strict=True))]


def windows_of(recordings, shift_s=0.0, hop=RATE):
    """[windows of all recordings, samples] as the manifest says, moved by `shift_s`; zeros beyond both ends."""
    windows = []
    for path in sorted(recordings.iterdir()):
        samples = soundfile.read(path, dtype="float32")[0]
        count = 1 + max(0, -(-(len(samples) - RATE) // hop))
        covered = (count - 2) * hop + RATE  # by the windows before the last
        if count > 1 and len(samples) - covered < RATE / 2:
            count -= 1
        padded = np.pad(samples, 2 * RATE)
        begins = 2 * RATE + round(shift_s * RATE) + hop * np.arange(count)
        windows += [padded[begin : begin + RATE] for begin in begins]
    return np.array(windows)


def predict(whimbrel, recordings, models, out, *words):
    named = [word for model in models for word in ("--model", model)]
    return run(whimbrel, "predict", recordings, *named, "--out", out, "--engine", "onnxruntime", *words)


def scores_of(whimbrel, recordings, models, out, *words):
    done = predict(whimbrel, recordings, models, out, "--format", "npy", *words)
    assert done.returncode == 0, done.stderr
    return np.load(out / "scores.npy")


def record_of(out):
    return json.loads((out / "run.json").read_text())


def assert_refused(done, *messages):
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert all(message in done.stderr for message in messages), done.stderr


# --- means


@pytest.fixture(scope="module")
def alone(whimbrel, recordings, models, tmp_path_factory):
    """Each member's own scores, [members, windows, classes]."""
    folder = tmp_path_factory.mktemp("alone")
    return np.array([scores_of(whimbrel, recordings, [m], folder / m.stem) for m in models], np.float64)


def mean_of_ranks(scores, weights):
    ranks = (scipy.stats.rankdata(scores, method="average", axis=1) - 1) / (scores.shape[1] - 1)
    return np.average(ranks, axis=0, weights=weights)


MEANS = {
    "arithmetic": ([], lambda p, w: np.average(p, axis=0, weights=w)),
    "geometric": ([], lambda p, w: np.exp(np.average(np.log(p), axis=0, weights=w))),
    "power": (["--mean-power", 3], lambda p, w: np.average(p**3, axis=0, weights=w) ** (1 / 3)),
    "rank": ([], mean_of_ranks),
}


def test_a_member_alone_scores_as_numpy_does(recordings, networks, alone):
    windows = windows_of(recordings)
    assert len(windows) == 23 + 12 + 1
    for network, scores in zip(networks, alone, strict=True):
        np.testing.assert_allclose(scores, sigmoid(network.logits(windows)), **CLOSE)


@pytest.mark.parametrize("mean", MEANS)
def test_means_are_those_of_numpy_and_the_same_for_any_number_of_workers(whimbrel, recordings, models, alone, tmp_path, mean):
    words, expected = MEANS[mean]
    outputs = []
    for threads in (1, 2, 5):
        out = tmp_path / f"{threads}"
        scores = scores_of(whimbrel, recordings, models, out, "--mean", mean, *words, "--threads", threads)
        outputs.append(files_of(out))
    np.testing.assert_allclose(scores, expected(alone, WEIGHTS), rtol=1e-6, atol=1e-7)
    assert outputs[0] == outputs[1] == outputs[2]
    settings = record_of(out)["settings"]
    assert settings["mean"] == mean


def test_equal_scores_have_equal_ranks(whimbrel, recordings, models, alone, tmp_path):
    silent = ~windows_of(recordings).any(axis=1)
    assert silent.sum() >= 6 and np.ptp(alone[:, silent], axis=1).max() == 0
    ranks = scores_of(whimbrel, recordings, models, tmp_path, "--mean", "rank")
    assert np.ptp(ranks[silent], axis=0).max() == 0


def test_a_recording_that_fails_has_no_part_in_the_ranks(whimbrel, networks, tmp_path):
    """Its last window has no score."""
    field = tmp_path / "field"
    field.mkdir()
    write_recording(field / "bad.wav", 40, 7, [(39, 40)])
    write_recording(field / "good.wav", 20, 8)
    model = networks[0].write(tmp_path / "models", "fails", fails=True)
    done = predict(whimbrel, field, [model], tmp_path / "both", "--format", "npy", "--mean", "rank", "--threads", 1)
    assert done.returncode == 1
    assert record_of(tmp_path / "both")["recordings"][0]["state"] == "failed"
    (field / "bad.wav").unlink()
    good = scores_of(whimbrel, field, [model], tmp_path / "good", "--mean", "rank")
    np.testing.assert_array_equal(np.load(tmp_path / "both/scores.npy"), good)


# --- shifted windows


def test_shifted_windows_are_scored_again(whimbrel, recordings, networks, models, tmp_path):
    scores = scores_of(whimbrel, recordings, models[:1], tmp_path, "--tta-shift", "-0.25,0.5")
    copies = [sigmoid(networks[0].logits(windows_of(recordings, shift))) for shift in (0, -0.25, 0.5)]
    np.testing.assert_allclose(scores, np.mean(copies, axis=0), **CLOSE)
    members = record_of(tmp_path)["models"]
    assert [member.get("shift_s", 0) for member in members] == [0, -0.25, 0.5]
    assert len({member["hash_xxh3_128"] for member in members}) == 1


def test_shifts_keep_the_weights_of_an_ensemble(whimbrel, recordings, networks, models, tmp_path):
    outputs = []
    for threads in (1, 3):
        out = tmp_path / f"{threads}"
        words = ["--tta-shift", "-0.25,0.5", "--threads", threads]
        scores = scores_of(whimbrel, recordings, models[:2], out, *words)
        outputs.append(files_of(out))
    means = []
    for network in networks[:2]:
        copies = [sigmoid(network.logits(windows_of(recordings, shift))) for shift in (0, -0.25, 0.5)]
        means.append(np.mean(copies, axis=0))
    np.testing.assert_allclose(scores, np.average(means, axis=0, weights=WEIGHTS[:2]), **CLOSE)
    assert outputs[0] == outputs[1]
    assert record_of(out)["settings"]["postprocess"]["tta_shifts_s"] == [-0.25, 0.5]


def test_shifts_and_overlapping_windows_go_together(whimbrel, recordings, networks, models, tmp_path):
    scores = scores_of(whimbrel, recordings, models[:1], tmp_path, "--tta-shift", "0.125", "--window-hop", 0.5)
    copies = [sigmoid(networks[0].logits(windows_of(recordings, shift, RATE // 2))) for shift in (0, 0.125)]
    np.testing.assert_allclose(scores, np.mean(copies, axis=0), **CLOSE)


# --- embeddings and events


def test_embeddings_are_the_networks_own(whimbrel, recordings, models, tmp_path):
    scores_of(whimbrel, recordings, models[:1], tmp_path, "--embeddings")
    session = onnxruntime.InferenceSession(models[0].with_suffix(".onnx"), providers=["CPUExecutionProvider"])
    expected = session.run(["embedding"], {"samples": windows_of(recordings)})[0]
    embeddings = np.load(tmp_path / "embeddings.npy")
    assert embeddings.dtype == np.float32 and embeddings.shape == (36, EMBEDDING)
    np.testing.assert_allclose(embeddings, expected, **CLOSE)
    assert (tmp_path / "embeddings.index.csv").read_bytes() == (tmp_path / "scores.index.csv").read_bytes()
    assert record_of(tmp_path)["settings"]["embeddings"] is True


def test_embeddings_are_those_of_windows_that_are_not_shifted(whimbrel, recordings, models, tmp_path):
    for name, words in (("plain", []), ("shifted", ["--tta-shift", "0.5"])):
        scores_of(whimbrel, recordings, models[:1], tmp_path / name, "--embeddings", *words)
    plain, shifted = (np.load(tmp_path / name / "embeddings.npy") for name in ("plain", "shifted"))
    np.testing.assert_array_equal(plain, shifted)


def events_of(probabilities, hop, median, high, low):
    """(start_s, end_s, class, peak) of one recording, slowly. probabilities: [windows, frames, classes]; hop in frames."""
    count = hop * (len(probabilities) - 1) + FRAMES
    sums, times = np.zeros((count, CLASSES)), np.zeros((count, 1))
    for i, window in enumerate(probabilities):
        sums[i * hop : i * hop + FRAMES] += window
        times[i * hop : i * hop + FRAMES] += 1
    line = scipy.ndimage.median_filter((sums / times).astype(np.float32), size=(median, 1), mode="nearest")
    found = []
    for c in range(CLASSES):
        lasting = np.flatnonzero(np.diff(np.pad(line[:, c] >= np.float32(low), 1).astype(int)))
        for begin, end in lasting.reshape(-1, 2):
            if line[begin:end, c].max() >= np.float32(high):
                found.append((begin / FRAMES, end / FRAMES, LABELS[c], line[begin:end, c].max()))
    return sorted(found, key=lambda e: (e[0], -e[3], e[2]))


@pytest.mark.parametrize("frame_axis", ["class_first", "class_last"])
@pytest.mark.parametrize("hop_s", [1, 0.3])
def test_events_are_pooled_filtered_and_cut_by_two_thresholds(whimbrel, networks, recordings, tmp_path, frame_axis, hop_s):
    model = networks[0].write(tmp_path / "models", "sed", frame_axis=frame_axis, hop_s=hop_s)
    rules = ["--events", "--event-median", 3, "--event-high", 0.8, "--event-low", 0.45]
    done = predict(whimbrel, recordings, [model], tmp_path / "out", "--format", "jsonl", *rules)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "out/detections.jsonl").read_text().splitlines()]
    found = 0
    for path in sorted(recordings.iterdir()):
        windows = windows_of_one(path, round(hop_s * RATE))
        expected = events_of(sigmoid(networks[0].frame_logits(windows)), round(hop_s * FRAMES), 3, 0.8, 0.45)
        written = [line for line in lines if line["file"] == str(path)]
        assert [(e["start_s"], e["end_s"], e["label"]) for e in written] == [e[:3] for e in expected]
        np.testing.assert_allclose([e["confidence"] for e in written], [e[3] for e in expected], **CLOSE)
        found += len(written)
    assert found > 20
    assert record_of(tmp_path / "out")["settings"]["postprocess"]["events"] == {"median_frames": 3, "high": 0.8, "low": 0.45}


def windows_of_one(path, hop):
    """Of one recording."""

    class Folder:
        def iterdir(self):
            return [path]

    return windows_of(Folder(), hop=hop)


def test_frames_of_an_ensemble_are_the_weighted_mean_of_those_that_have_some(whimbrel, networks, recordings, tmp_path):
    folder = tmp_path / "models"
    models = [networks[0].write(folder, "sed0", weight=1.0), networks[1].write(folder, "sed1", weight=3.0)]
    models.append(networks[2].write(folder, "clip_only", weight=9.0, output=['clip = "clip"']))
    done = predict(whimbrel, recordings / "a.wav", models, tmp_path / "out", "--format", "jsonl", "--events")
    assert done.returncode == 0, done.stderr
    windows = windows_of_one(recordings / "a.wav", RATE)
    frames = [sigmoid(network.frame_logits(windows)) for network in networks[:2]]
    expected = events_of(np.average(frames, axis=0, weights=[1, 3]), FRAMES, 1, 0.5, 0.2)
    lines = [json.loads(line) for line in (tmp_path / "out/detections.jsonl").read_text().splitlines()]
    assert [(e["start_s"], e["end_s"], e["label"]) for e in lines] == [e[:3] for e in expected]


def test_events_stay_where_they_are_when_windows_are_shifted(whimbrel, networks, tmp_path):
    """A frame is scored by its own tenth of a second, wherever the window begins: a shift of whole frames moves nothing."""
    write_recording(tmp_path / "a.wav", 20, 5)
    model = networks[0].write(tmp_path / "models", "sed")
    lines = []
    for name, words in (("plain", []), ("shifted", ["--tta-shift", "0.5"])):
        words = ["--events", "--event-high", 0.8, "--format", "jsonl", *words]
        assert predict(whimbrel, tmp_path / "a.wav", [model], tmp_path / name, *words).returncode == 0
        lines.append([json.loads(line) for line in (tmp_path / name / "detections.jsonl").read_text().splitlines()])
    inside = [[(e["start_s"], e["end_s"], e["label"]) for e in events if 2 < e["end_s"] < 18] for events in lines]
    assert len(inside[0]) > 20 and inside[0] == inside[1]


def test_events_of_a_later_member(whimbrel, networks, recordings, tmp_path):
    models = [networks[0].write(tmp_path / "models", "clip_only", output=['clip = "clip"'])]
    models.append(networks[1].write(tmp_path / "models", "sed"))
    done = predict(whimbrel, recordings, models, tmp_path / "out", "--format", "jsonl", "--events")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("option", "output", "message"),
    [
        ("--embeddings", ['clip = "clip"'], "output.embedding"),
        ("--events", ['clip = "clip"'], "output.frame"),
        ("--embeddings", ['embedding = "embedding"'], "output.clip"),
        ("--events", ['frame = "frame"', 'frame_axis = "class_last"'], "output.clip"),
        ("--events", ['clip = "clip"', 'frame = "frame"', 'frame_axis = "class_first"'], "output.frame_axis"),
        ("--embeddings", ['clip = "clip"', 'embedding = "frame"'], '"frame"'),
    ],
)
def test_outputs_that_are_not_there_are_refused(whimbrel, networks, recordings, tmp_path, option, output, message):
    model = networks[0].write(tmp_path / "models", "net", output=output)
    assert_refused(predict(whimbrel, recordings, [model], tmp_path / "out", "--quiet", option), message)


# --- cascades


@pytest.fixture(scope="module")
def cascade(whimbrel, recordings, models, tmp_path_factory):
    """Gate in the middle, weights that are not the manifests'; the plan's path and the threshold."""
    folder = tmp_path_factory.mktemp("cascade")
    scores = scores_of(whimbrel, recordings, models[1:2], folder / "gate")
    threshold = float(np.quantile(scores.max(axis=1), 0.6)) + 1e-4
    assert predict(whimbrel, recordings, models, folder / "all").returncode == 0
    settings = {"gate": 1, "threshold": threshold, "slope": 1.5, "offset": -0.75}
    return write_plan(folder / "plan.toml", models, (4, 1, 2), record_of(folder / "all"), settings), threshold


def test_cascade_is_the_gate_where_it_hears_nothing_and_the_mean_elsewhere(whimbrel, recordings, alone, cascade, tmp_path):
    path, threshold = cascade
    done = run(whimbrel, "predict", recordings, "--plan", path, "--out", tmp_path, "--format", "npy")
    assert done.returncode == 0, done.stderr
    gate = alone[1]
    passes = gate.max(axis=1, keepdims=True) >= threshold
    assert 5 < passes.sum() < 30
    calibrated = sigmoid(1.5 * np.log(gate / (1 - gate)) - 0.75)
    expected = np.where(passes, np.average(alone, axis=0, weights=(4, 1, 2)), calibrated)
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), expected, **CLOSE)


def test_cascade_is_the_same_to_the_bit_for_any_workers_and_batch(whimbrel, recordings, cascade, tmp_path):
    outputs = {}
    for threads, batch in ((1, 1), (2, 1), (5, 1), (1, 4), (2, 4), (5, 4)):
        out = tmp_path / f"{threads}_{batch}"
        words = ["--plan", cascade[0], "--format", "npy,csv", "--threads", threads, "--batch", batch]
        done = run(whimbrel, "predict", recordings, "--out", out, *words)
        assert done.returncode == 0, done.stderr
        outputs[threads, batch] = files_of(out)
    for batch in (1, 4):
        assert outputs[1, batch] == outputs[2, batch] == outputs[5, batch]
    # Another batch may be another kernel of the engine, which adds up in another order.
    np.testing.assert_allclose(np.load(tmp_path / "1_1/scores.npy"), np.load(tmp_path / "1_4/scores.npy"), **CLOSE)


def test_cascade_in_which_nothing_passes_is_the_gate(whimbrel, recordings, alone, cascade, tmp_path):
    text = cascade[0].read_text()
    path = tmp_path / "plan.toml"
    path.write_text("\n".join("threshold = 1.0" if line.startswith("threshold") else line for line in text.splitlines()))
    done = run(whimbrel, "predict", recordings, "--plan", path, "--out", tmp_path / "out", "--format", "npy")
    assert done.returncode == 0, done.stderr
    expected = sigmoid(1.5 * np.log(alone[1] / (1 - alone[1])) - 0.75)
    np.testing.assert_allclose(np.load(tmp_path / "out/scores.npy"), expected, **CLOSE)


def test_only_windows_that_pass_reach_the_others(whimbrel, networks, recordings, tmp_path):
    """A member that has no score for silence does not spoil a recording whose silent windows the gate holds back."""
    folder = tmp_path / "models"
    members = [networks[0].write(folder, "gate"), networks[1].write(folder, "other", fails=True)]
    assert predict(whimbrel, recordings, members, tmp_path / "all").returncode == 1  # silence reaches it
    cascade = {"gate": 0, "threshold": 0.55, "slope": 1.0, "offset": 0.0}  # silence has 0.5
    path = write_plan(tmp_path / "plan.toml", members, (1, 1), record_of(tmp_path / "all"), cascade)
    done = run(whimbrel, "predict", recordings, "--plan", path, "--out", tmp_path / "out", "--format", "npy")
    assert done.returncode == 0, done.stderr
    windows = windows_of(recordings)
    gate, other = (sigmoid(network.logits(windows)) for network in networks[:2])
    expected = np.where(gate.max(axis=1, keepdims=True) >= 0.55, (gate + other) / 2, gate)
    np.testing.assert_allclose(np.load(tmp_path / "out/scores.npy"), expected, **CLOSE)


def test_ranks_of_a_cascade_are_refused(whimbrel, recordings, cascade, tmp_path):
    done = run(whimbrel, "predict", recordings, "--plan", cascade[0], "--out", tmp_path / "out", "--mean", "rank")
    assert_refused(done, "--mean")


# --- folds


def test_a_pattern_names_all_folds(whimbrel, recordings, models, tmp_path):
    scores_of(whimbrel, recordings, models, tmp_path / "named")
    scores_of(whimbrel, recordings, [models[0].parent / "*.toml"], tmp_path / "pattern")
    assert files_of(tmp_path / "named") == files_of(tmp_path / "pattern")
    assert [m["name"] for m in record_of(tmp_path / "pattern")["models"]] == ["fold0", "fold1", "fold2"]
    with (tmp_path / "pattern/scores.index.csv").open() as file:
        assert sum(1 for _ in csv.DictReader(file)) == 36


def test_a_pattern_without_a_match_is_refused(whimbrel, recordings, tmp_path):
    done = predict(whimbrel, recordings, [tmp_path / "folds/*.toml"], tmp_path / "out")
    assert_refused(done, "folds/*.toml")
    assert not (tmp_path / "out").exists()
