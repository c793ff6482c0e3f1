"""Runs that are killed at random moments and gone on with, until one gets to its end."""

import os
import signal
import subprocess
import time

from small_networks import Network, write_recording

FORMATS = "kaggle,csv,raven,audacity,kaleidoscope,jsonl,npy"
RECORDINGS = 20


def make_job(folder, slow=3):
    """(recordings, models): 20 of 3 to 30 s, and two networks that take a while."""
    recordings = folder / "field"
    recordings.mkdir(parents=True)
    for i in range(RECORDINGS):
        write_recording(recordings / f"r{i:02d}.wav", 3 + i * 37 % 28 + 0.3, i)
    models = [Network(seed).write(folder / "models", f"net{seed}", slow=slow) for seed in (1, 2)]
    return recordings, models


def command(whimbrel, recordings, models, out, *words):
    named = [word for model in models for word in ("--model", model)]
    words = ("predict", recordings, *named, "--out", out, "--format", FORMATS, "--embeddings", "--quiet", *words)
    if "--engine" not in words:
        words += ("--engine", "onnxruntime", "--batch", "4")
    return [str(whimbrel), *map(str, words)]


def pause_when(process, condition):
    """Stops a process, all threads of it, where `condition()` holds of what it has done, until it gets SIGCONT.

    False: it has ended before.
    """
    while process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if process.poll() is None and condition():
            return True
        process.send_signal(signal.SIGCONT)
        time.sleep(0.005)
    return False


def run_with_kills(words, rng, longest_s, most_kills=60):
    """Starts `words` and kills it after a random time, again and again with --resume; returns the number of kills.

    Every start has more time than the last, so that the run gets to its end also where start-up takes the most of it.
    """
    for kills in range(most_kills):
        again = ["--resume"] if kills and "--resume" not in words else []
        process = subprocess.Popen([*words, *again], stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + rng.uniform(0, longest_s) * 1.1**kills
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        errors = process.communicate()[1]
        if process.returncode == 0:
            return kills
        assert process.returncode == -signal.SIGKILL, f"exit code {process.returncode}: {errors}"
    raise AssertionError(f"not done after {most_kills} kills")
