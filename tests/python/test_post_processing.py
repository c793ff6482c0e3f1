"""Post-processing of `predict`, done again with NumPy from the scores of a run without it."""

import csv
import shutil
import subprocess
import sys

import numpy as np
import pytest

WINDOW_S = 5


def predict(whimbrel, *words):
    return subprocess.run([str(whimbrel), "predict", *map(str, words)], capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def model(root):
    return root / "examples/dawn_chorus/model/dawn_chorus.toml"


@pytest.fixture(scope="module")
def labels(model):
    return (model.parent / "labels.txt").read_text().splitlines()


@pytest.fixture(scope="module")
def recordings(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    command = [sys.executable, root / "examples/dawn_chorus/synthesize.py", "--recordings", "3", "--seconds", "42"]
    subprocess.run([*command, "--seed", "11", "--formats", "wav", "-o", folder], check=True, capture_output=True)
    return folder


class Run:
    """Scores and detections of one run, recording by recording."""

    def __init__(self, out):
        scores = np.load(out / "scores.npy")
        with (out / "scores.index.csv").open() as file:
            rows = [row["file"] for row in csv.DictReader(file)]
        self.scores = {name: scores[[row == name for row in rows]] for name in dict.fromkeys(rows)}
        with (out / "submission.csv").open() as file:
            table = list(csv.reader(file))
        self.columns = table[0][1:]
        self.submission = np.array([row[1:] for row in table[1:]], np.float32)
        with (out / "detections.csv").open() as file:
            self.detections = list(csv.DictReader(file))


@pytest.fixture(scope="module")
def run(whimbrel, model, recordings, tmp_path_factory):
    def run(*options, model=model):
        out = tmp_path_factory.mktemp("out")
        common = ["--engine", "onnxruntime", "--window-hop", 1, "--format", "npy,kaggle,csv"]
        result = predict(whimbrel, recordings, "--model", model, "--out", out, *common, *options)
        assert result.returncode == 0, result.stderr
        return Run(out)

    return run


@pytest.fixture(scope="module")
def plain(run):
    return run()


def smoothed(scores, weights):
    half = len(weights) // 2
    out = np.zeros(scores.shape)
    for i in range(len(scores)):
        near = [j for j in range(i - half, i + half + 1) if 0 <= j < len(scores)]
        w = np.array([weights[j - i + half] for j in near])
        out[i] = w @ scores[near] / w.sum()
    return out


def assert_scores(run, expected):
    """Both formats hold them; double arithmetic rounded to float32 differs by a bit at most."""
    assert list(run.scores) == list(expected)
    for name, scores in expected.items():
        np.testing.assert_allclose(run.scores[name], scores, rtol=1e-6, atol=1e-12)
    assert np.array_equal(run.submission, np.concatenate(list(run.scores.values())))


def detections_of(scores, labels, thresholds, gap_s=None):
    """(start, end, common name, confidence) as `predict` lists them, with windows every second."""
    found = []
    for c, label in enumerate(labels):
        spans = [(i, i + WINDOW_S, p) for i, p in enumerate(scores[:, c]) if p >= np.float32(thresholds[c])]
        merged = []
        for start, end, p in spans:
            if gap_s is not None and merged and start - merged[-1][1] <= gap_s:
                merged[-1] = (merged[-1][0], end, max(merged[-1][2], p))
            else:
                merged.append((start, end, p))
        found += [(start, end, c, label, p) for start, end, p in merged]
    found.sort(key=lambda d: (d[0], -d[4], d[2]))
    return [(f"{start}.0", f"{end}.0", label.split("_")[1], f"{p:.4f}") for start, end, _, label, p in found]


def assert_detections(run, labels, thresholds, gap_s=None):
    expected = []
    for name, scores in run.scores.items():
        expected += [(*d, name) for d in detections_of(scores, labels, thresholds, gap_s)]
    written = [(d["Start (s)"], d["End (s)"], d["Common name"], d["Confidence"], d["File"]) for d in run.detections]
    assert written == expected
    assert written


def test_smoothing_is_a_weighted_mean_of_neighbouring_windows(run, plain, labels):
    weights = [0.1, 0.2, 0.4, 0.2, 0.1]
    smooth = run("--smooth", "0.1,0.2,0.4,0.2,0.1")
    assert_scores(smooth, {name: smoothed(scores, weights) for name, scores in plain.scores.items()})
    assert_detections(smooth, labels, [0.1] * len(labels))


@pytest.mark.parametrize(("kind", "power"), [("max", 1), ("mean", 0.5)])
def test_prior_is_the_recordings_own(run, plain, labels, kind, power):
    result = run("--prior", kind, "--prior-power", power)
    expected = {name: s * getattr(s.astype(float), kind)(axis=0) ** power for name, s in plain.scores.items()}
    assert_scores(result, expected)
    assert_detections(result, labels, [0.1] * len(labels))


@pytest.mark.parametrize("gap", [0, 3])
def test_merging_makes_one_of_consecutive_detections(run, plain, labels, gap):
    merged = run("--merge", gap, "--threshold", 0.3)
    assert_scores(merged, plain.scores)
    assert_detections(merged, labels, [0.3] * len(labels), gap)


def test_merge_without_a_number_is_a_gap_of_0(run, labels):
    assert run("--threshold", 0.3, "--merge").detections == run("--merge", 0, "--threshold", 0.3).detections


def test_a_species_list_leaves_the_rest_at_zero(run, plain, labels, tmp_path):
    (tmp_path / "list.txt").write_text(f"{labels[1]}\n{labels[3]}\n")
    listed = run("--species-list", tmp_path / "list.txt", "--threshold", 0)
    mask = np.isin(np.arange(len(labels)), [1, 3])
    assert_scores(listed, {name: scores * mask for name, scores in plain.scores.items()})
    assert listed.columns == labels
    assert_detections(listed, labels, [0 if kept else 2 for kept in mask])


def test_thresholds_are_those_of_the_file_then_that_of_the_option(run, plain, labels, tmp_path):
    (tmp_path / "thresholds.csv").write_text(f"class,threshold\n{labels[0]},0.8\n{labels[2]},0.05\n")
    result = run("--thresholds", tmp_path / "thresholds.csv", "--threshold", 0.4)
    assert_scores(result, plain.scores)
    assert_detections(result, labels, [0.8, 0.4, 0.05] + [0.4] * (len(labels) - 3))


def test_steps_follow_each_other_as_documented(run, plain, labels, tmp_path):
    (tmp_path / "list.txt").write_text("\n".join(labels[:4]))
    words = ["--smooth", "1,2,1", "--prior", "max", "--species-list", tmp_path / "list.txt", "--merge", "1"]
    result = run(*words, "--threshold", 0.2)
    expected = {}
    for name, scores in plain.scores.items():
        smooth = smoothed(scores, [1, 2, 1])
        expected[name] = smooth * smooth.max(axis=0) * (np.arange(len(labels)) < 4)
    assert_scores(result, expected)
    assert_detections(result, labels, [0.2] * 4 + [2] * (len(labels) - 4), 1)


def test_a_manifest_asks_for_it_and_options_replace_it(run, plain, model, labels, tmp_path):
    shutil.copytree(model.parent, tmp_path, dirs_exist_ok=True)
    manifest = tmp_path / model.name
    manifest.write_text(manifest.read_text() + '\n[postprocess]\nsmooth = [1, 2, 1]\nspecies_list = "list.txt"\n')
    (tmp_path / "list.txt").write_text(labels[0])
    only = np.arange(len(labels)) == 0
    by_manifest = run(model=manifest)
    assert_scores(by_manifest, {name: smoothed(s, [1, 2, 1]) * only for name, s in plain.scores.items()})
    replaced = run("--smooth", "1,1,1", model=manifest)
    assert_scores(replaced, {name: smoothed(s, [1, 1, 1]) * only for name, s in plain.scores.items()})
    without = run("--no-postprocess", model=manifest)
    assert all(np.array_equal(without.scores[name], scores) for name, scores in plain.scores.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--smooth", "0.5,0.5"], "expected an odd number"),
        (["--prior-power", "2"], "--prior-power without a prior"),
        (["--events", "--top-k", "3"], "--top-k with events"),
        (["--event-low", "0.1"], "expected --events too"),
        (["--merge", "-1"], "merge_gap_s"),
        (["--tta-shift", "0"], "tta_shifts_s"),
        (["--prior", "median"], "--prior"),
        (["--mean", "harmonic"], "--mean"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(whimbrel, model, recordings, tmp_path, options, message):
    result = predict(whimbrel, recordings, "--model", model, "--out", tmp_path / "out", *options)
    assert result.returncode == 2
    assert message in result.stderr
    assert not list((tmp_path / "out").glob("*"))


def test_an_unknown_species_is_answered_with_the_closest(whimbrel, model, recordings, labels, tmp_path):
    (tmp_path / "list.txt").write_text(labels[0] + "\n" + labels[1][:-1] + "\n")
    words = ["--model", model, "--out", tmp_path / "out", "--species-list", tmp_path / "list.txt"]
    result = predict(whimbrel, recordings, *words)
    assert result.returncode == 2
    assert f'list.txt:2: "{labels[1][:-1]}"' in result.stderr
    assert "did you mean" in result.stderr
