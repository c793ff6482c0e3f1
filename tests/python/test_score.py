"""`whimbrel score` against scikit-learn, on tables as large and as odd as real ones, and truth in all its forms."""

import csv
import json
import subprocess

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score

# Sums of double precision in another order: 1e-9 is far above what that can do, and far below any difference in definition.
TOLERANCE = 1e-9


def near(value):
    return pytest.approx(value, abs=TOLERANCE)


def write(path, ids, classes, values):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row_id", *classes])
        for row_id, row in zip(ids, values, strict=True):
            writer.writerow([row_id, *row.tolist()])
    return path


def score(whimbrel, *words):
    return subprocess.run([str(w) for w in (whimbrel, "score", *words)], capture_output=True, text=True, timeout=60)


def scored(whimbrel, *words):
    result = score(whimbrel, *words, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def refused(whimbrel, *words):
    result = score(whimbrel, *words)
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


def best_f1(truth, scores):
    """The definition: F1 at each distinct score, the highest threshold of the best ones."""
    precision, recall, thresholds = precision_recall_curve(truth, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    f1 = f1[:-1]  # the last point of the curve has no threshold
    best = max(i for i, value in enumerate(f1) if value >= max(f1) - 1e-12)  # thresholds rise
    return thresholds[best], f1[best], precision[best], recall[best]


@pytest.mark.parametrize("levels", [4, 100, 10**7], ids=["many ties", "some ties", "few ties"])
def test_scores_are_scikit_learns(whimbrel, tmp_path, levels):
    rows, classes = 500, 40
    random = np.random.default_rng(levels)
    # Float32 as whimbrel reads it; a tie in the file must be a tie for both.
    scores = (random.integers(0, levels + 1, (rows, classes)) / np.float32(levels)).astype(np.float32)
    truth = (random.random((rows, classes)) < random.random(classes) ** 3 * 0.3).astype(int)
    truth[:, 3] = 0
    truth[:, 4] = 1
    names = [f"species {c}, or so" for c in range(classes)]
    ids = [f"soundscape_{i}" for i in range(rows)]
    write(tmp_path / "truth.csv", ids, names, truth)
    order = random.permutation(rows)
    write(tmp_path / "scores.csv", [ids[i] for i in order], names, scores[order])
    found = scored(whimbrel, tmp_path / "scores.csv", tmp_path / "truth.csv", "--threshold", 0.75)

    assert [c["name"] for c in found["per_class"]] == names
    both = [c for c in range(classes) if 0 < truth[:, c].sum() < rows]
    positive = [c for c in range(classes) if truth[:, c].any()]
    assert found["classes_scored"] == len(both) < found["classes_with_positives"] == len(positive) < classes
    for c, row in enumerate(found["per_class"]):
        assert row["positives"] == truth[:, c].sum()
        assert (row["roc_auc"] is None) == (c not in both)
        if c in both:
            assert row["roc_auc"] == near(roc_auc_score(truth[:, c], scores[:, c]))
        best = ["best_threshold", "f1", "precision", "recall"]
        if c in positive:
            assert row["average_precision"] == near(average_precision_score(truth[:, c], scores[:, c]))
            assert [row[key] for key in best] == near(list(best_f1(truth[:, c], scores[:, c])))
        else:
            assert [row[key] for key in ["average_precision", *best]] == [None] * 5
    assert found["macro_roc_auc"] == near(roc_auc_score(truth[:, both], scores[:, both], average="macro"))
    ones = np.ones((5, classes))
    padded = average_precision_score(np.vstack([truth, ones]), np.vstack([scores, ones]), average="macro")
    assert found["padded_cmap"] == near(padded)
    assert found["macro_ap"] == near(average_precision_score(truth[:, positive], scores[:, positive], average="macro"))
    assert found["micro_ap"] == near(average_precision_score(truth, scores, average="micro"))
    assert found["threshold"] == 0.75
    detected = (scores >= 0.75).astype(int)
    assert found["macro_f1"] == near(f1_score(truth[:, positive], detected[:, positive], average="macro", zero_division=0))
    assert found["micro_f1"] == near(f1_score(truth, detected, average="micro"))


# Every form of truth

CLASSES = ["Parus major_Great Tit", "Corvus corax_Common Raven", "noise"]
IDS = [f"{stem}_{end}" for stem in ("first", "sec.ond_1") for end in (5, 10, 15)]
EVENTS = [  # the last one begins where no window is
    ("first.wav", 1.0, 2.5, "Parus major_Great Tit"),
    ("first.wav", 9.0, 10.5, "Corvus corax_Common Raven"),
    ("first.wav", 14.0, 15.02, "noise"),
    ("sec.ond_1.flac", 4.97, 9.0, "noise"),
    ("sec.ond_1.flac", 60.0, 62.0, "noise"),
]
TRUTH = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1], [0, 0, 0]])
RAVEN = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"]


def one_hot(folder):
    return write(folder / "truth.csv", IDS[::-1], CLASSES[::-1], TRUTH[::-1, ::-1])


def table(path, rows, separator=","):
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    return path


def row_labels(folder):
    rows = [["row_id", "label"], [IDS[0], "Great Tit"], [IDS[1], "Corvus corax"], [IDS[2], "Common Raven;noise"], [IDS[3], ""]]
    return table(folder / "labels.csv", [*rows, [IDS[4], "noise"], [IDS[5], "nocall"]])


def one_label_a_row(folder):
    pairs = [[IDS[r], CLASSES[c]] for r, c in zip(*np.nonzero(TRUTH), strict=True)]
    return table(folder / "pairs.csv", [["row_id", "label"], *pairs])


def events(folder):
    return table(folder / "events.csv", [["file", "start_s", "end_s", "label"], *EVENTS])


def detections(folder):
    rows = [[start, end, *(label.split("_") * 2)[:2], 0.9, f"/data/{file}"] for file, start, end, label in EVENTS]
    header = ["Start (s)", "End (s)", "Scientific name", "Common name", "Confidence", "File"]
    return table(folder / "detections.csv", [header, *rows])


def raven_folder(folder):
    raven = folder / "raven"
    (raven / "below").mkdir(parents=True)
    header = [*RAVEN, "Common Name"]
    for stem, path in (("first", "first.Table.1.selections.txt"), ("sec.ond_1", "below/sec.ond_1.flac.selections.txt")):
        rows = [e for e in EVENTS if e[0].startswith(stem)]
        lines = [[i, "Spectrogram 1", 1, e[1], e[2], 0, 1, e[3].split("_")[-1]] for i, e in enumerate(rows, 1)]
        table(raven / path, [header, *lines], "\t")
    return raven


def raven_session(folder):
    """One time axis over both files: the offset within the file is what counts."""
    lines = []
    for i, (file, start, end, label) in enumerate(EVENTS, 1):
        at = start + (900 if file.startswith("sec") else 0)
        lines.append([i, "Spectrogram 1", 1, at, at + end - start, 0, 1, rf"D:\field\{file}", start, label])
    header = [*RAVEN, "Begin Path", "File Offset (s)", "Species"]
    return table(folder / "session.txt", [header, *lines], "\t")


@pytest.fixture
def predictions(tmp_path):
    scores = np.random.default_rng(5).random(TRUTH.shape).astype(np.float32)
    return write(tmp_path / "predictions.csv", IDS, CLASSES, scores)


@pytest.mark.parametrize(
    "form", [row_labels, one_label_a_row, events, detections, raven_folder, raven_session], ids=lambda form: form.__name__
)
def test_every_form_of_truth_is_the_same(whimbrel, predictions, tmp_path, form):
    found = scored(whimbrel, predictions, one_hot(tmp_path))
    assert [c["positives"] for c in found["per_class"]] == TRUTH.sum(axis=0).tolist()
    assert scored(whimbrel, predictions, form(tmp_path)) == found


def test_the_overlap_and_the_window_can_be_given(whimbrel, predictions, tmp_path):
    def positives(*words):
        return [c["positives"] for c in scored(whimbrel, predictions, events(tmp_path), *words)["per_class"]]

    assert positives("--min-overlap", 0.01) == [1, 2, 3]  # and the 0.03 s before a window's end
    assert positives("--min-overlap", 0.6) == [1, 1, 2]  # without the 0.5 s after one
    assert positives("--window", 1) == [0, 1, 1]


def test_what_truth_names_must_be_there(whimbrel, predictions, tmp_path):
    header = ["file", "start_s", "end_s", "label"]
    strange = table(tmp_path / "e.csv", [header, *EVENTS, ("x.wav", 1, 2, "noise"), ("y.wav", 1, 2, "noise")])
    line = refused(whimbrel, predictions, strange)
    assert 'recording "x.wav"' in line and "2 such" in line and "e.csv" in line and "predictions.csv" in line
    line = refused(whimbrel, predictions, table(tmp_path / "e.csv", [header, ("first.wav", 1, 2, "Great Tiit")]))
    assert '"Great Tiit" is no class' in line and 'did you mean "Great Tit"?' in line and "row 1" in line
    line = refused(whimbrel, predictions, table(tmp_path / "l.csv", [["row_id", "label"], ["first_20", "noise"]]))
    assert 'row "first_20"' in line and "1 such" in line
    line = refused(whimbrel, predictions, write(tmp_path / "t.csv", IDS[1:], CLASSES, TRUTH[1:]))
    assert 'no row "first_5"' in line and "1 such" in line
    line = refused(whimbrel, predictions, write(tmp_path / "t.csv", IDS, [*CLASSES[:2], "noisy"], TRUTH))
    assert 'no column for class "noise"' in line
    line = refused(whimbrel, predictions, write(tmp_path / "t.csv", IDS, [*CLASSES, "noisy"], np.hstack([TRUTH, TRUTH[:, :1]])))
    assert 'class "noisy"' in line and 'did you mean "noise"?' in line
    assert "no such file" in score(whimbrel, predictions, tmp_path / "none.csv").stderr


def test_truth_that_says_nothing(whimbrel, predictions, tmp_path):
    for path in (
        write(tmp_path / "t.csv", IDS, CLASSES, 0 * TRUTH),
        table(tmp_path / "e.csv", [["file", "start_s", "end_s", "label"], EVENTS[-1]]),
        table(tmp_path / "l.csv", [["row_id", "label"], [IDS[0], ""]]),
    ):
        line = refused(whimbrel, predictions, path)
        assert path.name in line and "none of 6 windows is positive for any of 3 classes" in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n", ['starts with "a"', "row_id,label", "file,start_s,end_s,label", "Raven"]),
        ("", ["empty"]),
        ("file,start_s,end_s,label\nfirst.wav,nan,2,noise\n", ["row 1", '"start_s" is "nan"', "expected seconds"]),
        ("file,start_s,end_s,label\nfirst.wav,1,x,noise\n", ['"end_s" is "x"']),
        ("file,start_s,end_s,label\nfirst.wav,3,2,noise\n", ["from 3 to 2 s"]),
        ("file,start_s,end_s,label\nfirst.wav,1,2,\n", ["no label"]),
        ("file,start_s,end_s,label\nfirst.wav,1,2\n", [":2: 3 cells, expected 4"]),
        ("row_id,label\nfirst_5,noise mouse\n", ['"mouse" is no class']),
    ],
)
def test_truth_that_cannot_be_read(whimbrel, predictions, tmp_path, text, expected):
    (tmp_path / "t.csv").write_text(text)
    line = refused(whimbrel, predictions, tmp_path / "t.csv")
    assert all(part in line for part in ["t.csv", *expected]), line


def test_a_window_that_nothing_tells(whimbrel, tmp_path):
    predictions = write(tmp_path / "p.csv", ["first_5", "sec.ond_1_5"], CLASSES, TRUTH[:2])
    assert "give --window" in refused(whimbrel, predictions, events(tmp_path))
    assert scored(whimbrel, predictions, events(tmp_path), "--window", 5)["rows"] == 2
    predictions = write(tmp_path / "p.csv", ["first", "second"], CLASSES, TRUTH[:2])
    assert 'row "first"' in refused(whimbrel, predictions, events(tmp_path))


def test_the_table_and_the_thresholds(whimbrel, predictions, tmp_path):
    ids, names = IDS, [*CLASSES, "a, never heard"]
    scores = np.hstack([TRUTH * np.float32(0.7) + np.float32(0.1), 0 * TRUTH[:, :1]]).astype(np.float32)
    predictions = write(tmp_path / "p.csv", ids, names, scores)
    truth = write(tmp_path / "t.csv", ids, names, np.hstack([TRUTH, 0 * TRUTH[:, :1]]))
    result = score(whimbrel, predictions, truth, "--per-class", "--thresholds-out", tmp_path / "out/best.csv")
    assert result.returncode == 0, result.stderr
    summary, classes = result.stdout.split("\n\n")
    assert [line.split("  ")[0] for line in summary.splitlines()] == [
        *("macro ROC-AUC", "padded cmAP", "macro AP", "micro AP", "macro F1", "micro F1")
    ]
    lines = classes.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert " ".join(lines[-2].split()) == "a, never heard 0 - - - - - -"
    assert " ".join(lines[-1].split()) == "total and means 5 1.0000 1.0000 - 1.0000 1.0000 1.0000"
    with (tmp_path / "out/best.csv").open(newline="") as file:
        written = list(csv.reader(file))
    assert written[0] == ["class", "threshold"]
    assert [(name, np.float32(t)) for name, t in written[1:]] == [(name, scores.max()) for name in CLASSES]


def test_the_dawn_choruss_truth_follows_from_its_events(whimbrel, shared):
    data = shared / "data/dawn"
    found = scored(whimbrel, data / "truth.csv", data / "events.csv")
    assert found["rows"] == 384
    assert found["micro_ap"] == found["micro_f1"] == found["macro_roc_auc"] == 1.0
