"""`whimbrel score` against scikit-learn, on tables as large and as odd as real ones."""

import csv
import json
import subprocess

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

# Sums of double precision in another order: 1e-9 is far above what that can do, and far below any difference in definition.
TOLERANCE = 1e-9


def write(path, ids, classes, values):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row_id", *classes])
        for row_id, row in zip(ids, values, strict=True):
            writer.writerow([row_id, *row.tolist()])


@pytest.mark.parametrize("levels", [4, 100, 10**7], ids=["many ties", "some ties", "few ties"])
def test_scores_are_scikit_learns(whimbrel, tmp_path, levels):
    rows, classes = 500, 40
    random = np.random.default_rng(levels)
    # Float32 as whimbrel reads it; a tie in the file must be a tie for both.
    scores = (random.integers(0, levels, (rows, classes)) / np.float32(levels)).astype(np.float32)
    truth = (random.random((rows, classes)) < random.random(classes) ** 3 * 0.3).astype(int)
    truth[:, 3] = 0
    truth[:, 4] = 1
    names = [f"species {c}, or so" for c in range(classes)]
    ids = [f"soundscape_{i}" for i in range(rows)]
    write(tmp_path / "truth.csv", ids, names, truth)
    order = random.permutation(rows)
    write(tmp_path / "scores.csv", [ids[i] for i in order], names, scores[order])

    words = [str(whimbrel), "score", str(tmp_path / "scores.csv"), str(tmp_path / "truth.csv"), "--json"]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)

    assert [c["name"] for c in found["per_class"]] == names
    scored = [c for c in range(classes) if 0 < truth[:, c].sum() < rows]
    assert found["classes_scored"] == len(scored) < classes
    for c, row in enumerate(found["per_class"]):
        assert row["positives"] == truth[:, c].sum()
        if c in scored:
            assert row["roc_auc"] == pytest.approx(roc_auc_score(truth[:, c], scores[:, c]), abs=TOLERANCE)
        else:
            assert row["roc_auc"] is None
        if truth[:, c].any():
            assert row["average_precision"] == pytest.approx(average_precision_score(truth[:, c], scores[:, c]), abs=TOLERANCE)
        else:
            assert row["average_precision"] is None
    assert found["macro_roc_auc"] == pytest.approx(
        roc_auc_score(truth[:, scored], scores[:, scored], average="macro"), abs=TOLERANCE
    )
    ones = np.ones((5, classes))
    padded = average_precision_score(np.vstack([truth, ones]), np.vstack([scores, ones]), average="macro")
    assert found["padded_cmap"] == pytest.approx(padded, abs=TOLERANCE)
