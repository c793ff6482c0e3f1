"""Recordings that a recorder, or a copy, still writes while they are read."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "data"))
from faults import build_shim
from interrupted import pause_when
from small_networks import Network, write_recording


@pytest.mark.parametrize("how", ["grows", "is replaced"])
@pytest.mark.parametrize("part", [(0, 0.05), (0.1, 0.5)], ids=["header", "sound"])
def test_a_recording_that_changes_while_it_is_read_is_partial(whimbrel, tmp_path, how, part):
    model = Network(1).write(tmp_path / "model", "net")
    write_recording(tmp_path / "a.wav", 10, 1)
    write_recording(tmp_path / "b.wav", 200, 1)
    out, changing = tmp_path / "out", tmp_path / "b.wav"
    words = [whimbrel, "predict", tmp_path / "a.wav", changing, "--model", model, "--out", out, "--format", "npy,kaggle"]
    words += ["--engine", "onnxruntime", "--batch", "1", "--threads", "2"]
    slow = build_shim(tmp_path)(FAULT_FILES=changing, FAULT_SLOW_US=5000)
    process = subprocess.Popen(list(map(str, words)), stderr=subprocess.PIPE, text=True, env=slow)
    size, (least, most) = changing.stat().st_size, part
    assert pause_when(process, lambda: any(least <= at / size < most for at in places_in(process.pid, changing)))
    if how == "grows":
        with changing.open("ab") as file:
            file.write(bytes(100_000))
    else:
        write_recording(tmp_path / "new.wav", 5, 2)
        os.replace(tmp_path / "new.wav", changing)
    process.send_signal(signal.SIGCONT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 1, errors
    ledger = {pathlib.Path(r["path"]).name: r for r in json.loads((out / "run.json").read_text())["recordings"]}
    assert [ledger["a.wav"]["state"], ledger["b.wav"]["state"]] == ["done", "partial"]
    assert ledger["a.wav"]["windows"] == 10
    assert ledger["b.wav"]["windows"] == 200 or (how, part[0], ledger["b.wav"]["windows"]) == ("is replaced", 0, 5)
    assert "b.wav: changed while it was read" in ledger["b.wav"]["error"] and ledger["b.wav"]["error"] in errors


def places_in(pid, path):
    """How far a process has come in its open files of this path, in bytes."""
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        if os.path.realpath(f"/proc/{pid}/fd/{descriptor}") == str(path):
            yield int(pathlib.Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text().split()[1])
