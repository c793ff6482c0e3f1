"""The networks of quantize_vs_peers.py, the recordings that calibrate them and those that score them."""

import csv
import dataclasses
import pathlib
import subprocess
import sys
import tomllib

import librosa
import numpy as np
import soundfile
import soxr
from common import ROOT, SHARED, WORK, recordings, whimbrel

sys.path.insert(0, str(ROOT / "tests/data"))

FOLDER = WORK / "quantize"
EXAMPLE = ROOT / "examples/dawn_chorus/model/dawn_chorus.toml"


@dataclasses.dataclass
class Case:
    """A network and its data; without truth its weights are random, and only speed and noise mean something."""

    name: str
    manifest: pathlib.Path
    calibration: list
    scoring: list
    truth: pathlib.Path | None

    @property
    def model(self):
        return self.manifest.parent / self.settings["model"]["file"]

    @property
    def settings(self):
        return tomllib.loads(self.manifest.read_text())

    def truth_of(self, paths):
        """[windows, classes] of 0 and 1, recording by recording."""
        with self.truth.open() as file:
            rows = [(row[0].rsplit("_", 1), row[1:]) for row in csv.reader(file)][1:]
        by_stem = {}
        for (stem, end_s), values in rows:
            by_stem.setdefault(stem, {})[int(end_s)] = [int(v) for v in values]
        stems = [pathlib.Path(p).stem for p in paths]
        return np.array([by_stem[stem][end_s] for stem in stems for end_s in sorted(by_stem[stem])])

    def calibration_truth(self):
        """Path of the rows that belong to the calibration recordings: no method sees those that it is scored on."""
        stems = {pathlib.Path(p).stem for p in self.calibration}
        lines = self.truth.read_text().splitlines()
        kept = [line for line in lines[1:] if line.split(",")[0].rsplit("_", 1)[0] in stems]
        path = FOLDER / self.name / "calibration_truth.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([lines[0], *kept]) + "\n")
        return path


def log_mel(samples, config):
    """[channels, n_mels, frames] of one window; docs/manifest.md by librosa."""
    mel = config["mel"]
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=config["sample_rate_hz"],
        n_fft=mel["n_fft"],
        hop_length=mel["hop_samples"],
        n_mels=mel["n_mels"],
        fmin=mel["f_min_hz"],
        fmax=mel["f_max_hz"],
        pad_mode=mel["pad"],
    )
    level = librosa.power_to_db(power, ref=1.0, amin=mel["amin"], top_db=mel["top_db"])
    scaled = (level - level.min()) / (level.max() - level.min() + 1e-6)
    return np.repeat(scaled[None], config["channels"], 0)


def network_inputs(manifest, paths):
    """[windows, ...] float32: what the network is fed for all windows of the recordings, in order."""
    config = tomllib.loads(manifest.read_text())["input"]
    rate, inputs = config["sample_rate_hz"], []
    for path in paths:
        samples, own_rate = soundfile.read(path, dtype="float32", always_2d=True)
        samples = samples.mean(1)
        if own_rate != rate:
            samples = soxr.resample(samples, own_rate, rate, "HQ")
        length = round(rate * config["window_s"])
        count = round(len(samples) / length)
        samples = np.pad(samples, (0, max(0, count * length - len(samples))))[: count * length]
        windows = samples.reshape(count, length)
        inputs += [w if config["kind"] == "waveform" else log_mel(w, config) for w in windows]
    return np.stack(inputs).astype(np.float32)


def exported(build, name, source, *words):
    """Manifest of a network that `whimbrel export` writes once."""
    folder = FOLDER / "models" / name
    manifest = folder / f"{name}.toml"
    if not manifest.exists():
        command = [whimbrel(build), "export", source, *words, "--name", name, "-o", folder, "--quiet"]
        subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL)
    return manifest


def trained(build, name):
    """One of the trained networks of the shared folder."""
    folder = SHARED / "models"
    words = ["--front-end", folder / "front_end.toml", "--labels", folder / "labels.txt"]
    return exported(build, name, f"{folder / 'dawn_models.py'}:build:{name}", *words)


def untrained(build, backbone):
    folder = SHARED / "models"
    words = ["--front-end", folder / "front_end.toml", "--labels", folder / "labels.txt"]
    return exported(build, backbone, f"timm:{backbone}", *words)  # export seeds it


def front_end_inside(manifest, name):
    import front_end_inside

    return front_end_inside.write(manifest, FOLDER / "models" / name)


CASES = {
    "dawn_chorus": lambda build: EXAMPLE,
    "dawn_chorus_from_samples": lambda build: front_end_inside(EXAMPLE, "dawn_chorus_from_samples"),
    "tf_efficientnet_b0.sed": lambda build: trained(build, "tf_efficientnet_b0.sed"),
    "tf_efficientnet_b0.sed_from_samples": lambda build: front_end_inside(
        trained(build, "tf_efficientnet_b0.sed"), "tf_efficientnet_b0.sed_from_samples"
    ),
    "tf_efficientnetv2_s.cnn": lambda build: trained(build, "tf_efficientnetv2_s.cnn"),
    "eca_nfnet_l0": lambda build: untrained(build, "eca_nfnet_l0"),
}


def case(name, build, quick):
    """The case of a name; None where it needs the shared folder and that is absent."""
    if name.startswith("dawn_chorus"):
        files = recordings(12, 120, "ogg")
        truth = pathlib.Path(files[0]).parent / "truth.csv"
    elif (SHARED / "models/dawn_models.py").exists():
        files = sorted(str(p) for p in (SHARED / "data/dawn").glob("*.ogg"))
        truth = SHARED / "data/dawn/truth.csv"
    else:
        return None
    calibration, scoring = (files[:1], files[1:3]) if quick else (files[:4], files[4:])
    return Case(name, CASES[name](build), calibration, scoring, None if name == "eca_nfnet_l0" else truth)
