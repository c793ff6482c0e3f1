"""What the fault tests share: runs of the command over recordings some of which are bad, and what became of each of them."""

import csv
import json
import os
import pathlib
import shutil
import struct
import subprocess

import numpy as np
import pytest
from small_networks import RATE, Network, write_recording

FORMATS = "kaggle,csv,raven,audacity,kaleidoscope,jsonl,npy"
GOOD_NAMES = ("a_good.wav", "m_good.wav", "z_good.wav")  # what is bad comes before, between and after them


def predict(
    whimbrel, model, inputs, out, *words, formats=FORMATS, engine=("--engine", "onnxruntime", "--batch", "8"), **options
):
    """The command over `inputs` (a path or several); stdout and stderr as text, bytes that are no UTF-8 escaped."""
    inputs = inputs if isinstance(inputs, list) else [inputs]
    words = ["predict", *inputs, "--model", model, "--out", out, "--format", formats, *engine, *words]
    options = {"capture_output": True, "timeout": 120, "text": True, "errors": "surrogateescape"} | options
    return subprocess.run([str(whimbrel), *(os.fspath(w) if isinstance(w, bytes) else str(w) for w in words)], **options)


def record_of(out):
    return json.loads((out / "run.json").read_text())


def ledger(out):
    """{file name: its entry in run.json}"""
    return {os.path.basename(entry["path"]): entry for entry in record_of(out)["recordings"]}


def rows_of(out):
    """{file name: all that the outputs hold of it}, of formats npy, kaggle, csv, jsonl and, where it is there, raven."""
    rows = {}
    for row, score in zip(read_csv(out / "scores.index.csv"), np.load(out / "scores.npy"), strict=True):
        rows.setdefault(os.path.basename(row[1]), []).append((*row[2:], score.tobytes()))
    names = {os.path.splitext(name)[0]: name for name in rows}
    for row in read_csv(out / "submission.csv"):
        rows[names[row[0].rpartition("_")[0]]].append(row)
    for row in read_csv(out / "detections.csv"):
        rows[os.path.basename(row[-1])].append(row[:-1])
    for line in map(json.loads, (out / "detections.jsonl").read_text().splitlines()):
        rows[os.path.basename(line["file"])].append({**line, "file": ""})
    for name in rows:
        if (out / f"{name}.selections.txt").exists():
            table = csv.reader((out / f"{name}.selections.txt").open(newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
            rows[name] += [row[:-2] + row[-1:] for row in table]  # without the path
    return rows


def read_csv(path):
    """Rows below the header; bytes that are no UTF-8 as the system's names have them."""
    with path.open(newline="", errors="surrogateescape") as file:
        return list(csv.reader(file))[1:]


class Faults:
    """A model and three good recordings, and what a run of these alone gives."""

    def __init__(self, whimbrel, folder):
        self.whimbrel, self.folder = whimbrel, folder
        self.env = build_shim(folder)(FAULT_CLOSE=1)
        self.model = Network(1).write(folder / "model", "net")
        self.good = folder / "good"
        self.good.mkdir()
        for seed, name in enumerate(GOOD_NAMES):
            write_recording(self.good / name, 4.3 + seed, seed)
        done = self.run(self.good, folder / "alone")
        assert done.returncode == 0, done.stderr
        self.rows = rows_of(folder / "alone")
        assert [len(self.rows[name]) > 10 for name in GOOD_NAMES] == [True] * 3

    def run(self, inputs, out, *words, **options):
        return predict(self.whimbrel, self.model, inputs, out, *words, **{"env": self.env} | options)

    def with_good(self, folder):
        """`folder` with the good recordings in it."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in GOOD_NAMES:
            shutil.copy(self.good / name, folder / name)
        return folder

    def check(self, done, out, failed=(), partial=(), others=()):
        """The good ones are whole, the bad ones are told of. Returns the ledger."""
        assert (out / "run.json").exists(), (done.returncode, done.stderr)
        states = ledger(out)
        expected = {name: "done" for name in (*GOOD_NAMES, *others)}
        expected |= {name: "failed" for name in failed} | {name: "partial" for name in partial}
        assert {name: entry["state"] for name, entry in states.items()} == expected, done.stderr
        assert done.returncode == (1 if failed or partial else 0), done.stderr
        rows = rows_of(out)
        assert {name: rows[name] for name in GOOD_NAMES} == self.rows
        for name in (*failed, *partial):
            assert states[name]["error"] and states[name]["error"] in done.stderr, name
            assert name in states[name]["error"] and ": " in states[name]["error"]
        assert all(rows[name] for name in partial) and not set(failed) & set(rows)
        assert nothing_temporary(out)
        return states


def nothing_temporary(*folders):
    """Nothing is left but results, and the journal of a run that can be gone on with."""
    paths = [path for folder in folders for path in folder.rglob("*") if path.name != ".whimbrel-journal"]
    return not [path for path in paths if ".tmp" in path.name or "whimbrel" in path.name]


def build_shim(folder):
    """settings -> environment of a process in which faults.c fails as they say. Skips where nothing compiles it."""
    library, source = folder / "faults.so", pathlib.Path(__file__).with_name("faults.c")
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as failed:
        pytest.skip(f"no C compiler for {source.name}: {failed}")
    return lambda **settings: os.environ | {"LD_PRELOAD": str(library)} | {key: str(value) for key, value in settings.items()}


def wav(
    data, *, rate=RATE, channels=1, bits=16, tag=1, align=None, byte_rate=None, size=None, riff=None, form=None, before=b""
):
    """A WAVE file byte by byte, so that its header can lie."""
    align = channels * bits // 8 if align is None else align
    byte_rate = min(rate * align, 2**32 - 1) if byte_rate is None else byte_rate
    body = struct.pack("<HHIIHH", tag, channels, rate, byte_rate, align % 2**16, bits)
    form = b"fmt " + struct.pack("<I", len(body)) + body if form is None else form
    chunks = b"WAVE" + form + before + b"data" + struct.pack("<I", len(data) if size is None else size) + data
    return b"RIFF" + struct.pack("<I", len(chunks) if riff is None else riff) + chunks
