"""One window of 5 s at 32 kHz to a log-mel plane, one thread: whimbrel, librosa and PyTorch, in turn in one run.

Every round times each of them once, so that a drift of the machine meets all alike. Quality is the largest difference to the
same definition in float64.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import librosa
import numpy as np
import torch
from common import print_machine
from threadpoolctl import threadpool_limits

RATE = 32000
MEL = {"sr": RATE, "n_fft": 2048, "n_mels": 128, "fmin": 20, "fmax": 16000}


def finish(db):
    return (db - db.min()) / (db.max() - db.min() + 1e-6)


def with_librosa(samples, hop):
    power = librosa.feature.melspectrogram(y=samples, hop_length=hop, pad_mode="reflect", **MEL)
    return finish(librosa.power_to_db(power, top_db=80))


def with_torch(hop, dtype=torch.float32):
    """What torchaudio does: its tables are made once."""
    window = torch.hann_window(2048, dtype=dtype)
    bank = torch.from_numpy(librosa.filters.mel(**MEL, dtype=np.float64)).to(dtype)

    def run(samples):
        spectrum = torch.stft(torch.from_numpy(samples).to(dtype), 2048, hop, window=window, return_complex=True)
        db = 10 * torch.log10(torch.clamp(bank @ spectrum.abs().pow(2), min=1e-10))
        return finish(torch.maximum(db, db.max() - 80)).numpy()

    return run


def with_whimbrel(tool, hop, *words):
    command = [tool, "--rate", RATE, "--window-samples", 5 * RATE, "--shift-samples", 5 * RATE, "--hop-samples", hop]
    command += ["--f-min-hz", 20, "--f-max-hz", 16000, "--top-db", 80, "--normalize", "minmax", *words]
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout


def milliseconds(function, *arguments):
    begin = time.perf_counter()
    function(*arguments)
    return 1e3 * (time.perf_counter() - begin)


def compare(tool, path, samples, hop, rounds):
    torch_run = with_torch(hop)
    times = {"librosa": [], "torch": []}
    for i in range(rounds + 1):  # the first one warms up
        row = {"librosa": [milliseconds(with_librosa, samples, hop)], "torch": [milliseconds(torch_run, samples)]}
        for limit in ("AVX3", "AVX2"):
            bench = json.loads(with_whimbrel(tool, hop, "--max-target", limit, "--bench", 20, path))
            row[f"whimbrel {bench['target']}"] = bench["window_ms"]
        for name, values in row.items():
            if i > 0:
                times.setdefault(name, []).extend(values)
    exact = with_torch(hop, torch.float64)(samples)
    planes = {"librosa": with_librosa(samples, hop), "torch": torch_run(samples)}
    out = path.with_suffix(".plane")
    for name in times:
        if name.startswith("whimbrel"):
            with_whimbrel(tool, hop, "--max-target", name.split()[1], path, out)
            planes[name] = np.fromfile(out, np.float32).reshape(128, -1)
    report(hop, times, {name: float(np.abs(plane - exact).max()) for name, plane in planes.items()})


def report(hop, times, errors):
    print(f"\n5 s at 32 kHz, 2048/{hop}, 128 bands 20..16000 Hz, dB, 80 dB, minmax: ms a window on one thread")
    print(f"{'':16}{'median':>9}{'min':>9}{'max':>9}{'x librosa':>11}{'x torch':>9}{'error':>10}")
    median = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        speed = f"{median['librosa'] / median[name]:11.1f}{median['torch'] / median[name]:9.1f}"
        print(f"{name:16}{median[name]:9.3f}{min(values):9.3f}{max(values):9.3f}{speed}{errors[name]:10.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build/release", type=pathlib.Path)
    parser.add_argument("--rounds", default=30, type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print_machine()
    print(f"librosa {librosa.__version__}, torch {torch.__version__}, numpy {np.__version__}")
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, 5 * RATE).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        path = pathlib.Path(folder) / "in.f32"
        samples.tofile(path)
        for hop in (512, 1024):
            compare(options.build / "tests/mel_tool", path, samples, hop, options.rounds)


if __name__ == "__main__":
    main()
