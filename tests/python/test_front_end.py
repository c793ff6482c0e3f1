"""The front end against librosa and against torchaudio's definition, over signals, rates and options."""

import os
import pathlib
import subprocess

import librosa
import numpy as np
import pytest
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / os.environ.get("WHIMBREL_BUILD", "build/release") / "tests/mel_tool"
SHARED = pathlib.Path(os.environ.get("WHIMBREL_SHARED", ROOT.parent / "shared"))
RATES = [16000, 22050, 32000, 44100, 48000]
SECONDS = 2

# The front end computes in float32, whose FFT leaves some 3e-8 of the loudest bin's amplitude in every bin. Real recordings and
# noise stay within 1e-3 dB over all that top_db = 80 keeps. 80 dB below a pure tone there is nothing but the window's side
# lobes, 1e-4 of the tone in amplitude, and 3e-8 of that is 3e-3 dB (PyTorch's float32 FFT is off by as much); 70 dB below it is
# 1e-3 dB.
TOP_DB = 80
TOLERANCE_DB = 1e-3

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason=f"no {TOOL}: build it, or set WHIMBREL_BUILD to the build folder")


def noise(rate):
    return np.random.default_rng(rate).uniform(-0.5, 0.5, SECONDS * rate)


def tones(rate):
    t = np.arange(SECONDS * rate) / rate
    return sum(0.2 * np.sin(2 * np.pi * hz * t) for hz in (440, 1234.5, 0.31 * rate))


def silence(rate):
    return np.zeros(SECONDS * rate)


def clipped(rate):
    return np.clip(8 * tones(rate), -1, 1)


def click(rate):
    samples = np.zeros(SECONDS * rate)
    samples[rate // 3] = 1
    return samples


def real(rate):
    path = SHARED / "data/dawn/dawn_5000.ogg"
    if not path.exists():
        pytest.skip(f"no {path}: set WHIMBREL_SHARED")
    return librosa.load(path, sr=rate, duration=SECONDS)[0]


SIGNALS = [noise, tones, silence, clipped, click, real]


def assert_same_db(got, expected, signal):
    assert got.shape == expected.shape
    difference = np.abs(got - expected)
    if signal is tones:
        assert difference.max() <= 3 * TOLERANCE_DB
        difference = difference[expected >= expected.max() - 70]
    assert difference.max() <= TOLERANCE_DB


@pytest.fixture
def whimbrel_mel(tmp_path):
    """Planes [windows, n_mels, frames] of mel_tool with the given fields of MelConfig."""

    def run(samples, rate, window_samples=None, shift_samples=None, **fields):
        window_samples = window_samples or len(samples)
        samples.astype(np.float32).tofile(tmp_path / "in.f32")
        command = [TOOL, "--rate", rate, "--window-samples", window_samples, "--shift-samples", shift_samples or window_samples]
        for field, value in fields.items():
            command += [f"--{field.replace('_', '-')}", str(value).lower()]
        subprocess.run([str(c) for c in [*command, tmp_path / "in.f32", tmp_path / "out.f32"]], check=True, timeout=60)
        windows = 1 + (len(samples) - window_samples) // (shift_samples or window_samples)
        return np.fromfile(tmp_path / "out.f32", np.float32).reshape(windows, fields.get("n_mels", 128), -1)

    return run


def librosa_power(samples, rate, n_fft=2048, hop_samples=512, n_mels=128, f_min_hz=0, f_max_hz=0, **other):
    return librosa.feature.melspectrogram(
        y=samples.astype(np.float32),
        sr=rate,
        n_fft=n_fft,
        hop_length=hop_samples,
        win_length=other.get("win_length"),
        center=other.get("center", True),
        pad_mode=other.get("pad", "reflect"),
        n_mels=n_mels,
        fmin=f_min_hz,
        fmax=f_max_hz or rate / 2,
        htk=other.get("scale") == "htk",
        norm=None if other.get("norm") == "none" else "slaney",
        power=other.get("power", 2.0),
    )


def torchaudio_power(samples, rate, n_fft=400, hop_samples=200, n_mels=128, f_min_hz=0, power=2.0, win_length=None):
    """torchaudio.transforms.MelSpectrogram with its defaults (HTK, no norm), from torch alone.

    Source: torchaudio 2 functional.melscale_fbanks and functional.spectrogram. All in float64: the definition is meant, not
    the rounding errors of its float32 FFT or of its float32 corner frequencies.
    """
    freqs = torch.linspace(0, rate // 2, n_fft // 2 + 1, dtype=torch.float64)
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (f_min_hz, rate / 2))
    points = 700 * (10 ** (torch.linspace(low, high, n_mels + 2, dtype=torch.float64) / 2595) - 1)
    slopes = points[None, :] - freqs[:, None]
    widths = points[1:] - points[:-1]
    bank = torch.clamp(torch.minimum(-slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]), min=0)
    win_length = win_length or n_fft
    spectrum = torch.stft(
        torch.from_numpy(samples.astype(np.float32)).double(),
        n_fft,
        hop_samples,
        win_length,
        torch.hann_window(win_length, dtype=torch.float64),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    return (spectrum.abs().pow(power).T @ bank).T


def amplitude_to_db(x, stype, top_db):
    """torchaudio.functional.amplitude_to_DB with ref 1 and its default amin."""
    db = (10 if stype == "power" else 20) * torch.log10(torch.clamp(x, min=1e-10))
    return torch.maximum(db, db.max() - top_db).numpy()


BIRD = {"n_fft": 2048, "hop_samples": 512, "n_mels": 128, "f_min_hz": 50}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("signal", SIGNALS)
def test_equals_librosa_within_a_thousandth_of_a_decibel(whimbrel_mel, signal, rate):
    samples = signal(rate)
    got = whimbrel_mel(samples, rate, **BIRD, top_db=TOP_DB)[0]
    expected = librosa.power_to_db(librosa_power(samples, rate, **BIRD), top_db=TOP_DB)
    assert_same_db(got, expected, signal)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("signal", SIGNALS)
def test_equals_torchaudio_within_a_thousandth_of_a_decibel(whimbrel_mel, signal, rate):
    samples = signal(rate)
    for size in ({"n_fft": 400, "hop_samples": 160, "n_mels": 40}, {"n_fft": 2048, "hop_samples": 512, "n_mels": 128}):
        got = whimbrel_mel(samples, rate, **size, win_length=size["n_fft"], scale="htk", norm="none", top_db=TOP_DB)[0]
        expected = amplitude_to_db(torchaudio_power(samples, rate, **size), "power", TOP_DB)
        assert_same_db(got, expected, signal)


def test_a_magnitude_is_torchaudios_and_librosas(whimbrel_mel):
    samples = noise(32000)
    size = {"n_fft": 1024, "hop_samples": 320, "n_mels": 64, "power": 1.0}
    got = whimbrel_mel(samples, 32000, **size, win_length=1024, scale="htk", norm="none", top_db=TOP_DB)[0]
    expected = amplitude_to_db(torchaudio_power(samples, 32000, **size), "magnitude", TOP_DB)
    assert np.abs(got - expected).max() <= TOLERANCE_DB
    got = whimbrel_mel(samples, 32000, **size, win_length=1024, amin=1e-5, top_db=TOP_DB)[0]
    assert np.abs(got - librosa.amplitude_to_db(librosa_power(samples, 32000, **size), amin=1e-5)).max() <= TOLERANCE_DB


@pytest.mark.parametrize(
    "fields",
    [
        {"n_fft": 1024, "win_length": 800},
        {"n_fft": 1024, "win_length": 801},
        {"n_fft": 1536, "win_length": 1536},
        {"n_fft": 882, "win_length": 882, "hop_samples": 441, "n_mels": 40},
        {"n_fft": 4096, "win_length": 4096, "hop_samples": 1000},
        {"n_fft": 512, "win_length": 512, "hop_samples": 700, "n_mels": 32},
        {"center": False},
        {"pad": "constant"},
        {"scale": "htk"},
        {"norm": "none"},
        {"scale": "htk", "norm": "none", "n_mels": 64},
        {"power": 1.5},
        {"n_mels": 256, "f_min_hz": 500, "f_max_hz": 15000},
    ],
    ids=str,
)
def test_every_option_means_what_librosa_means(whimbrel_mel, fields):
    samples = noise(32000) + tones(32000)
    got = whimbrel_mel(samples, 32000, **fields, top_db=TOP_DB)[0]
    expected = librosa.power_to_db(librosa_power(samples, 32000, **fields), top_db=TOP_DB)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= TOLERANCE_DB


def test_reference_and_floor_are_those_of_power_to_db(whimbrel_mel):
    samples = tones(32000)
    power = librosa_power(samples, 32000)
    for top_db, amin in ((80, 1e-10), (30, 1e-10), (80, 1e-3)):
        got = whimbrel_mel(samples, 32000, ref="max", top_db=top_db, amin=amin)[0]
        expected = librosa.power_to_db(power, ref=np.max, amin=amin, top_db=top_db)
        assert np.abs(got - expected).max() <= TOLERANCE_DB


def test_log_is_the_natural_logarithm(whimbrel_mel):
    samples = noise(32000)
    got = whimbrel_mel(samples, 32000, level="log", amin=1e-6)[0]
    expected = np.log(np.maximum(librosa_power(samples, 32000), 1e-6))
    assert np.abs(got - expected).max() <= TOLERANCE_DB / 4.34  # a neper of power is 4.34 dB


def test_normalization_is_per_window(whimbrel_mel):
    rate = 32000
    samples = np.concatenate([noise(rate), tones(rate)])
    window = SECONDS * rate
    for name, normalize in (
        ("minmax", lambda x: (x - x.min()) / (x.max() - x.min() + 1e-6)),
        ("mean_std", lambda x: (x + 30.5) / 12.25),
    ):
        fields = {"top_db": TOP_DB, "normalize": name, "mean": -30.5, "std": 12.25}
        got = whimbrel_mel(samples, rate, window_samples=window, **fields)
        for i in range(2):
            part = samples[i * window : (i + 1) * window]
            expected = normalize(librosa.power_to_db(librosa_power(part, rate), top_db=TOP_DB))
            assert np.abs(got[i] - expected).max() <= TOLERANCE_DB / 12.25


def test_overlapping_windows_are_those_computed_alone(whimbrel_mel):
    samples = noise(32000)
    window, shift = 32000, 8192
    together = whimbrel_mel(samples, 32000, window_samples=window, shift_samples=shift, **BIRD)
    assert len(together) == 4
    for i, plane in enumerate(together):
        alone = whimbrel_mel(samples[i * shift : i * shift + window], 32000, **BIRD)[0]
        assert np.array_equal(plane, alone)


def test_a_bad_configuration_is_one_line_and_exit_code_2(tmp_path):
    np.zeros(32000, np.float32).tofile(tmp_path / "in.f32")
    command = [TOOL, "--n-mels", "0", "--window-samples", "32000", tmp_path / "in.f32", tmp_path / "out.f32"]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 2
    assert process.stderr == "[input.mel] n_mels=0, expected 1..512; set input.mel.n_mels in the manifest\n"
