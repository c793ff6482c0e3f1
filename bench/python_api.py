"""whimbrel from Python against the command and against what Python people use.

`Predictor` against `whimbrel predict` on the same recordings, start-up not counted in either (it is printed); `whimbrel.Mel`
against librosa and torch.stft + matmul (torchaudio's way), one thread each, interleaved; what importing and --help cost.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

import common
import numpy as np
from quantize_models import CASES

RATE, SECONDS = 32000, 5
MODEL = "tf_efficientnet_b0.sed"


def seconds_of(work, least_s=0.5):
    """Median seconds of a call, of as many as fit."""
    work()
    times = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < least_s or len(times) < 3:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def mel_peers():
    """name -> function of float32 [samples]: power mel spectrograms in dB, 2048/512, 128 bands."""
    import librosa
    import torch
    import whimbrel

    torch.set_num_threads(1)
    filters = torch.from_numpy(librosa.filters.mel(sr=RATE, n_fft=2048, n_mels=128))
    window = torch.hann_window(2048)
    mel = whimbrel.Mel(sample_rate_hz=RATE, n_fft=2048, hop_samples=512, n_mels=128)

    def by_librosa(y):
        return librosa.power_to_db(
            librosa.feature.melspectrogram(y=y, sr=RATE, n_fft=2048, hop_length=512, n_mels=128), top_db=None
        )

    def by_torch(y):  # what torchaudio.transforms.MelSpectrogram and AmplitudeToDB compute
        spectrum = torch.stft(torch.from_numpy(y), 2048, 512, window=window, return_complex=True)
        return 10 * torch.log10((filters @ spectrum.abs().pow(2)).clamp(min=1e-10))

    return {"whimbrel.Mel": mel, "librosa": by_librosa, "torch.stft + matmul": by_torch}


def compare_mel():
    peers = mel_peers()
    y = np.random.default_rng(1).standard_normal(RATE * SECONDS).astype(np.float32) * 0.1
    times = {name: [] for name in peers}
    for _ in range(5):
        for name, peer in peers.items():
            times[name].append(seconds_of(lambda peer=peer: peer(y)))
    ours = statistics.median(times["whimbrel.Mel"])
    print(f"mel, {SECONDS} s at {RATE} Hz, 2048/512, 128 bands, one thread: median (min .. max) ms")
    for name, seen in times.items():
        middle = statistics.median(seen)
        print(
            f"  {name:20} {1000 * middle:7.3f} ({1000 * min(seen):.3f} .. {1000 * max(seen):.3f})   {middle / ours:5.1f} x ours"
        )


SCRIPT = """
import json, sys, time, whimbrel
begin = time.perf_counter()
predictor = whimbrel.Predictor(sys.argv[1])
opened = time.perf_counter()
result = predictor.predict(sys.argv[2:])
record = result.record["summary"]
print(json.dumps({"open_s": opened - begin, "windows": len(result), "rate": len(result) / (time.perf_counter() - opened)}))
"""


def python_environment(build):
    return {**os.environ, "PYTHONPATH": str(common.ROOT / build / "python")}


def compare_predict(build, recordings, turns):
    model = CASES[MODEL](build)
    out = common.WORK / "python-api"
    rates = {"whimbrel predict": [], "whimbrel.Predictor": []}
    for _ in range(turns):
        shutil.rmtree(out, ignore_errors=True)
        common.run([common.whimbrel(build), "predict", *recordings, "--model", model, "--out", out, "--format=npy", "--quiet"])
        rates["whimbrel predict"].append(common.run_json(out)["summary"]["windows_per_s"])
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, model, *recordings],
            capture_output=True,
            text=True,
            check=True,
            env=python_environment(build),
        )
        rates["whimbrel.Predictor"].append(json.loads(done.stdout)["rate"])
    print(f"predict, {MODEL}, {len(recordings)} recordings, all cores: windows/s, median (min .. max) of {turns}")
    base = statistics.median(rates["whimbrel predict"])
    for name, seen in rates.items():
        middle = statistics.median(seen)
        print(f"  {name:20} {middle:7.1f} ({min(seen):.1f} .. {max(seen):.1f})   {middle / base:.3f} of the command")


def compare_starts(build):
    environment = python_environment(build)
    program = common.whimbrel(build)
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import whimbrel": [sys.executable, "-c", "import whimbrel"],
        "import, Predictor": [sys.executable, "-c", "import whimbrel; whimbrel.Predictor"],
        "whimbrel --help": [program, "--help"],
    }
    print("starts, whole processes: median (min .. max) ms of 15")
    for name, command in commands.items():
        seen = []
        for _ in range(15):
            begin = time.perf_counter()
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
            seen.append(1000 * (time.perf_counter() - begin))
        print(f"  {name:20} {statistics.median(seen):6.1f} ({min(seen):.1f} .. {max(seen):.1f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    common.print_machine()
    sys.path.insert(0, str(common.ROOT / options.build / "python"))
    compare_mel()
    compare_starts(options.build)
    if not (common.SHARED / "models/dawn_models.py").exists():
        print(f"skipped Predictor: {common.SHARED / 'models'} is not there")
        return
    compare_predict(options.build, common.recordings(12, 120), options.turns)


if __name__ == "__main__":
    main()
