"""Labelled soundscapes: synthetic species over coloured noise, with truth to score against. Needs numpy and soundfile.

    python examples/dawn_chorus/synthesize.py --recordings 8 --seconds 120 --seed 7 -o out/recordings --formats wav,flac,ogg

writes the recordings, `truth.csv` (one row per 5 s window, `row_id` as in a submission), `events.csv` (every call) and
`labels.txt`. The same arguments give the same samples: recording i depends on the seed and on i alone.
"""

import argparse
import csv
import dataclasses
import pathlib

import numpy as np
import soundfile
from species import LABELS, SPECIES

WINDOW_S = 5.0
MODEL_RATE_HZ = 32000
SNR_DB = (-6.0, 15.0)
BLOCK = 4096


@dataclasses.dataclass
class Call:
    """One call in a soundscape; `start` and `end` are samples."""

    label: str
    start: int
    end: int
    snr_db: float
    sound: np.ndarray  # [end - start], at the level at which it is heard


@dataclasses.dataclass
class Soundscape:
    sample_rate_hz: int
    noise: np.ndarray  # [samples] float32
    calls: list[Call]  # by start

    def mixture(self):
        """[samples] float32, peak at most 0.9: what a recorder would have written."""
        mixture = self.noise.copy()
        for call in self.calls:
            mixture[call.start : call.end] += call.sound.astype(np.float32)
        return mixture * np.float32(min(1.0, 0.9 / max(1e-9, np.abs(mixture).max())))

    def events(self):
        """(start_s, end_s, label), rounded as in events.csv, so that truth follows from the file."""
        rate = self.sample_rate_hz
        return [(round(call.start / rate, 4), round(call.end / rate, 4), call.label) for call in self.calls]


def coloured_noise(rng, samples, sample_rate_hz):
    """The background of a dawn: white to brown hiss, and at times wind, mains hum and rain. float32 [samples]."""
    frequency_hz = np.fft.rfftfreq(samples, 1 / sample_rate_hz)
    shape = np.maximum(frequency_hz, 40.0) ** (-rng.uniform(0.0, 2.0) / 2)
    noise = _shaped_noise(rng, shape, samples)
    seconds = samples / sample_rate_hz
    if rng.random() < 0.6:  # wind is all below 500 Hz: made at a sixteenth of the rate
        n = -(-samples // 16) + 1
        low = np.minimum(1.0, (60.0 / np.maximum(np.fft.rfftfreq(n, 16 / sample_rate_hz), 20.0)) ** 2)
        gusts = np.interp(np.arange(n), np.linspace(0, n, max(3, int(seconds))), rng.gamma(1.2, 1.0, max(3, int(seconds))))
        wind = _shaped_noise(rng, low, n) * gusts.astype(np.float32)
        noise += np.float32(rng.uniform(0.3, 2.0)) * np.interp(np.arange(samples) / 16, np.arange(n), wind).astype(np.float32)
    if rng.random() < 0.3:
        mains = rng.choice([50.0, 60.0]) * np.array([1, 2, 3, 5])
        # One second holds whole periods of every harmonic, and repeats.
        second = sum(np.sin(2 * np.pi * f * np.arange(sample_rate_hz) / sample_rate_hz) / (1 + k) for k, f in enumerate(mains))
        noise += np.resize(second * rng.uniform(0.05, 0.5), samples).astype(np.float32)
    if rng.random() < 0.4:
        noise += _rain(rng, samples, sample_rate_hz)
    return noise * np.float32(10 ** (rng.uniform(-42, -28) / 20) / noise.std())


def _shaped_noise(rng, shape, samples):
    """Gaussian noise of unit power with this amplitude spectrum: one inverse FFT."""
    spectrum = rng.standard_normal((len(shape), 2), dtype=np.float32).view(np.complex64)[:, 0] * shape.astype(np.float32)
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, samples)
    return (noise / noise.std()).astype(np.float32)


def _rain(rng, samples, sample_rate_hz):
    """Drops on a housing: 20 to 150 decaying bursts a second."""
    length = sample_rate_hz // 400
    drops = rng.poisson(rng.uniform(20, 150) * samples / sample_rate_hz)
    burst = rng.standard_normal((16, length)) * np.exp(-np.arange(length) / (length / 6))
    at = rng.integers(0, max(1, samples - length), drops)
    level = rng.exponential(1.0, drops) * rng.uniform(0.5, 3.0)
    rain = np.zeros(samples)
    np.add.at(rain, at[:, None] + np.arange(length), burst[rng.integers(0, 16, drops)] * level[:, None])
    return rain.astype(np.float32)


def power_density(noise):
    """Mean power of each of BLOCK / 2 + 1 equal bands, Welch's method (1967) without overlap. float64."""
    block = min(BLOCK, len(noise))
    blocks = noise[: len(noise) // block * block].reshape(-1, block)
    window = np.hanning(block).astype(np.float32)
    power = np.mean(np.abs(np.fft.rfft(blocks * window)) ** 2, axis=0, dtype=np.float64)
    power[1:-1] *= 2
    return power / (block * np.sum(window.astype(np.float64) ** 2))


def band_of(sound, sample_rate_hz):
    """(low_hz, high_hz) around the middle 95 % of a call's energy, at least 200 Hz wide."""
    energy = np.cumsum(np.abs(np.fft.rfft(sound, max(len(sound), BLOCK))) ** 2)
    low, high = np.searchsorted(energy, np.array([0.025, 0.975]) * energy[-1]) * (sample_rate_hz / max(len(sound), BLOCK))
    spare = max(0.0, 200.0 - (high - low)) / 2
    return max(0.0, low - spare), high + spare


def at_snr(sound, snr_db, density, sample_rate_hz):
    """The call scaled so that its mean power is `snr_db` above that of the noise in the call's own band."""
    low_hz, high_hz = band_of(sound, sample_rate_hz)
    band_hz = np.linspace(0, sample_rate_hz / 2, len(density))
    noise_power = density[(band_hz >= low_hz) & (band_hz <= high_hz)].sum()
    return sound * np.sqrt(noise_power * 10 ** (snr_db / 10) / np.mean(sound**2))


def soundscape(rng, seconds, sample_rate_hz=MODEL_RATE_HZ):
    """Four to nine species that call over each other at rates and distances of their own, with stretches where nothing calls.

    A species keeps its distance for the whole recording: its calls' SNR lie within 3 dB of a level drawn from SNR_DB.
    """
    samples = round(seconds * sample_rate_hz)
    noise = coloured_noise(rng, samples, sample_rate_hz)
    density = power_density(noise)
    quiet_s = min(seconds / 4, rng.uniform(6, 16))
    quiet_from = rng.uniform(0, seconds - quiet_s) * sample_rate_hz
    quiet_to = quiet_from + quiet_s * sample_rate_hz
    calls = []
    for label in rng.permutation(LABELS)[: rng.integers(4, 10)]:
        distance_db = rng.uniform(*SNR_DB)
        for _ in range(rng.poisson(seconds / rng.uniform(5, 25))):
            snr_db = float(np.clip(distance_db + rng.uniform(-3, 3), *SNR_DB))
            sound = SPECIES[label](rng, sample_rate_hz)
            start = int(rng.integers(0, max(1, samples - len(sound))))
            end = start + len(sound)
            if end <= samples and (end <= quiet_from or start >= quiet_to):
                calls.append(Call(str(label), start, end, snr_db, at_snr(sound, snr_db, density, sample_rate_hz)))
    return Soundscape(sample_rate_hz, noise, sorted(calls, key=lambda call: (call.start, call.label)))


def window_count(seconds):
    """Windows that `whimbrel predict` makes of a recording: a last one counts if at least half full; there is always one."""
    return max(1, int(seconds // WINDOW_S) + (seconds % WINDOW_S >= WINDOW_S / 2))


def window_truth(events, windows):
    """uint8 [windows, labels]: 1 where a call overlaps the window by at least 0.2 s or a fifth of the call."""
    truth = np.zeros((windows, len(LABELS)), np.uint8)
    starts_s = np.arange(windows) * WINDOW_S
    for start_s, end_s, label in events:
        overlap_s = np.minimum(end_s, starts_s + WINDOW_S) - np.maximum(start_s, starts_s)
        # Times are multiples of 0.1 ms: half of one is more than what subtraction rounds away.
        truth[overlap_s >= min(0.2, (end_s - start_s) / 5) - 5e-5, LABELS.index(label)] = 1
    return truth


def write_recording(path, mono, sample_rate_hz, rng, channels):
    """Stereo has noise of opposite sign in its two channels, so that their mean is `mono` again."""
    if channels == 2:
        side = mono.std() * 0.3 * rng.standard_normal(len(mono), dtype=np.float32)
        frames = np.clip(np.stack([mono + side, mono - side], axis=1), -1, 1)
    else:
        frames = mono[:, None]
    subtype = "VORBIS" if path.suffix == ".ogg" else "PCM_16"
    with soundfile.SoundFile(path, "w", sample_rate_hz, channels, subtype) as file:
        for start in range(0, len(frames), 65536):  # libsndfile's Vorbis encoder overflows the stack on long blocks
            file.write(frames[start : start + 65536])


def write_bad_header(path, rng):
    """A recorder that lost power: samples are there, RIFF and fmt hold garbage."""
    soundfile.write(path, rng.normal(0, 0.05, 10 * MODEL_RATE_HZ), MODEL_RATE_HZ, "PCM_16")
    content = bytearray(path.read_bytes())
    content[0:4] = b"\x00\x00\xff\xff"
    content[12:36] = bytes([0xA5]) * 24
    path.write_bytes(content)


def synthesize(folder, recordings, seconds, seed, formats=("wav",), with_bad_header=False):
    """Writes a folder of recordings with truth.csv, events.csv and labels.txt. Returns the recordings' paths, bad one last."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with open(folder / "truth.csv", "w", newline="") as truth_file, open(folder / "events.csv", "w", newline="") as events_file:
        truth_csv, events_csv = csv.writer(truth_file, lineterminator="\n"), csv.writer(events_file, lineterminator="\n")
        truth_csv.writerow(["row_id", *LABELS])
        events_csv.writerow(["file", "start_s", "end_s", "label"])
        for i in range(recordings):
            rng = np.random.default_rng([seed, i])
            rate, channels = [(MODEL_RATE_HZ, 1), (48000, 2), (MODEL_RATE_HZ, 1), (44100, 1)][i % 4]
            scene = soundscape(rng, seconds, rate)
            path = folder / f"dawn_{seed}_{i:03}.{formats[i % len(formats)]}"
            write_recording(path, scene.mixture(), rate, rng, channels)
            paths.append(path)
            events = scene.events()
            events_csv.writerows([path.name, f"{start_s:.4f}", f"{end_s:.4f}", label] for start_s, end_s, label in events)
            for w, row in enumerate(window_truth(events, window_count(seconds))):
                truth_csv.writerow([f"{path.stem}_{round((w + 1) * WINDOW_S)}", *row])
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    if with_bad_header:
        paths.append(folder / "wrong_header.wav")
        write_bad_header(paths[-1], np.random.default_rng([seed, recordings]))
    return paths


def main():
    parser = argparse.ArgumentParser(description="Synthesize labelled recordings of twelve invented species.")
    parser.add_argument("--recordings", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120.0, help="length of each recording")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("-o", "--out", type=pathlib.Path, required=True, help="folder to write into")
    parser.add_argument("--formats", default="wav", help="of wav, flac, ogg; given in turn (default: wav)")
    parser.add_argument("--with-bad-header", action="store_true", help="add a .wav that nothing opens, absent from the truth")
    arguments = parser.parse_args()
    formats = arguments.formats.split(",")
    if arguments.recordings < 1 or arguments.seconds < 1 or arguments.seed < 0 or not set(formats) <= {"wav", "flac", "ogg"}:
        parser.error("expected --recordings and --seconds of at least 1, --seed of at least 0, --formats of wav, flac, ogg")
    out, bad = arguments.out, arguments.with_bad_header
    paths = synthesize(out, arguments.recordings, arguments.seconds, arguments.seed, formats, bad)
    print(f"{len(paths)} recordings, truth.csv, events.csv and labels.txt in {out}")


if __name__ == "__main__":
    main()
