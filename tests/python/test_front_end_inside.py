"""tests/data/front_end_inside.py: the network that is fed samples answers as the mel network it was made from does."""

import csv
import pathlib
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "examples/dawn_chorus/model/dawn_chorus.toml"
sys.path.insert(0, str(ROOT / "tests/data"))

import front_end_inside  # noqa: E402


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recording")
    command = [sys.executable, ROOT / "examples/dawn_chorus/synthesize.py", "--recordings", "1", "--seconds", "20"]
    subprocess.run([*command, "--seed", "99", "--formats", "wav", "-o", folder], check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.wav"))


def scores_of(whimbrel, manifest, recording, out):
    command = [whimbrel, "predict", recording, "--model", manifest, "--engine", "onnxruntime", "--out", out, "--quiet"]
    subprocess.run([*command, "--format", "kaggle"], check=True)
    rows = list(csv.reader((out / "submission.csv").open()))[1:]
    return np.array([[float(v) for v in row[1:]] for row in rows])


def test_both_dfts_answer_alike():
    rng = np.random.default_rng(5)
    samples = rng.uniform(-0.3, 0.3, [2, 160000]).astype(np.float32)
    answers = []
    for dft in ("matmul", "conv"):
        model = front_end_inside.build(MODEL, dft).SerializeToString()
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        answers.append(session.run(None, {"front_end/samples": samples})[0])
    # Sums of 1024 products in another order, and 80 dB below them bins that are rounding alone.
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-3)


def test_it_scores_as_the_mel_network_does(whimbrel, recording, tmp_path):
    inside = front_end_inside.write(MODEL, tmp_path / "model")
    ours = scores_of(whimbrel, inside, recording, tmp_path / "inside")
    theirs = scores_of(whimbrel, MODEL, recording, tmp_path / "outside")
    assert ours.shape == (4, 12)
    # The float32 DFT as a matrix product is good to 1e-3 dB where the FFT is to 1e-4: scores move in the fourth digit.
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
