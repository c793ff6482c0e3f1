"""Recordings that a recorder, or a copy, still writes while they are read."""

import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "data"))
from small_networks import Network, write_recording


@pytest.mark.parametrize("how", ["grows", "is replaced"])
def test_a_recording_that_changes_while_it_is_read_is_partial(whimbrel, tmp_path, how):
    model = Network(1).write(tmp_path / "model", "net", slow=40)  # so that the reading takes seconds
    for name in ("a", "b"):
        write_recording(tmp_path / f"{name}.wav", 60, 1)
    out, changing = tmp_path / "out", tmp_path / "b.wav"
    words = [whimbrel, "predict", tmp_path / "a.wav", changing, "--model", model, "--out", out, "--format", "npy,kaggle"]
    words += ["--engine", "onnxruntime", "--batch", "1", "--threads", "2"]
    process = subprocess.Popen(list(map(str, words)), stderr=subprocess.PIPE, text=True)
    while not any(os.path.realpath(link) == str(changing) for link in open_files(process.pid)) and process.poll() is None:
        time.sleep(0.001)
    if how == "grows":
        with changing.open("ab") as file:
            file.write(bytes(100_000))
    else:
        write_recording(tmp_path / "new.wav", 5, 2)
        os.replace(tmp_path / "new.wav", changing)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 1, errors
    ledger = {pathlib.Path(r["path"]).name: r for r in json.loads((out / "run.json").read_text())["recordings"]}
    assert [ledger["a.wav"]["state"], ledger["b.wav"]["state"]] == ["done", "partial"]
    assert ledger["a.wav"]["windows"] == ledger["b.wav"]["windows"] == 60
    assert "b.wav: changed while it was read" in ledger["b.wav"]["error"] and ledger["b.wav"]["error"] in errors


def open_files(pid):
    try:
        return [f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return []
