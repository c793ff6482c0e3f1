"""Reads that never come back, as from a disk that is gone: the run goes on without them, and ends when it should."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "data"))
from faults import build_shim
from interrupted import RECORDINGS, command, make_job
from small_networks import files_of

pytestmark = pytest.mark.serial
MIDWAY = 50_000  # bytes of a recording, of which the shortest has 100,000


class Job:
    def __init__(self, whimbrel, folder):
        self.whimbrel, self.folder = whimbrel, folder
        self.recordings, self.models = make_job(folder)
        self.shim = build_shim(folder)
        self.run(folder / "whole", {}, code=0)
        self.whole = files_of(folder / "whole")

    def run(self, out, faults, *words, code):
        words = command(self.whimbrel, self.recordings, self.models, out, *words)
        done = subprocess.run(words, env=self.shim(**faults), capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stderr
        return done


@pytest.fixture(scope="module")
def job(whimbrel, tmp_path_factory):
    return Job(whimbrel, tmp_path_factory.mktemp("hangs"))


def row_names(files):
    return [line.split(",")[0] for line in files["submission.csv"].decode().splitlines()[1:]]


def states(out):
    recordings = json.loads((out / "run.json").read_text())["recordings"]
    return {pathlib.Path(r["path"]).name: (r["state"], r.get("error", "")) for r in recordings}


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("after", [0, MIDWAY])
def test_a_decoder_that_hangs_costs_its_recording_only(job, tmp_path, after, workers):
    faults = {"FAULT_FILES": "r07.wav", "FAULT_HANG_AFTER": after}
    done = job.run(tmp_path / "out", faults, "--decode-timeout", "0.5s", "--threads", workers, code=1)
    failed = {name: error for name, (state, error) in states(tmp_path / "out").items() if state != "done"}
    assert list(failed) == ["r07.wav"] and "nothing was decoded for 0.5 s" in failed["r07.wav"]
    assert failed["r07.wav"] in done.stderr
    rows = (tmp_path / "out" / "submission.csv").read_text().splitlines()
    assert rows == [row for row in job.whole["submission.csv"].decode().splitlines() if not row.startswith("r07_")]
    job.run(tmp_path / "out", {}, "--resume", code=0)
    assert files_of(tmp_path / "out") == job.whole


def test_a_disk_that_is_gone_ends_the_run_and_it_goes_on_when_it_is_back(job, tmp_path):
    faults = {"FAULT_FILES": "field/", "FAULT_HANG_AFTER": 0}
    done = job.run(tmp_path / "out", faults, "--decode-timeout", "0.05s", "--threads", "4", code=3)
    assert "16 recordings could not be read" in done.stderr.splitlines()[-1]
    job.run(tmp_path / "out", {}, "--resume", code=0)
    assert files_of(tmp_path / "out") == job.whole


def test_with_a_budget_the_output_is_complete_though_the_disk_is_gone(job, tmp_path):
    faults = {"FAULT_FILES": "field/", "FAULT_HANG_AFTER": MIDWAY}
    words = ["--budget", "50s", "--decode-timeout", "0.05s", "--threads", "4"]
    done = job.run(tmp_path / "out", faults, *words, code=1)
    assert "16 recordings could not be read for 0.05 s each" in done.stderr
    assert "budget: the run stopped by itself before" in done.stderr
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert "16 recordings" in record["summary"]["stop_reason"] and record["budget"]["ran_out"]
    found = states(tmp_path / "out")
    rest = {name: error for name, (state, error) in found.items() if state == "cancelled"}
    assert sum(state == "failed" for state, _ in found.values()) == 16 and len(rest) == RECORDINGS - 16
    assert all(error.startswith("the run stopped by itself after 0 of") for error in rest.values())
    assert row_names(files_of(tmp_path / "out")) == [
        row for row in row_names(job.whole) if row.rpartition("_")[0] + ".wav" in rest
    ]
    job.run(tmp_path / "out", {}, "--resume", code=0)
    assert files_of(tmp_path / "out") == job.whole


def test_a_budget_holds_though_a_decoder_hangs(job, tmp_path):
    faults = {"FAULT_FILES": "r07.wav", "FAULT_HANG_AFTER": MIDWAY}
    begin = time.monotonic()
    job.run(tmp_path / "out", faults, "--budget", "6s", code=1)
    assert time.monotonic() - begin < 6
    missing = [name for name, (state, _) in states(tmp_path / "out").items() if state != "done"]
    assert missing == ["r07.wav"]


def test_a_budget_holds_though_all_decoders_hang(job, tmp_path):
    faults = {"FAULT_FILES": "field/", "FAULT_HANG_AFTER": MIDWAY}
    begin = time.monotonic()
    job.run(tmp_path / "out", faults, "--budget", "3s", "--decode-timeout", "1h", code=1)
    assert time.monotonic() - begin < 3
    found = states(tmp_path / "out")
    hung = tuple(name.removesuffix("wav")[:-1] + "_" for name, (state, _) in found.items() if state == "failed")
    assert len(found) == RECORDINGS and 0 < len(hung) < RECORDINGS
    rows = row_names(files_of(tmp_path / "out"))
    assert rows == [row for row in row_names(job.whole) if not row.startswith(hung)], "what was not come to has its rows"


def wait_until_nothing_comes(journal, process):
    sizes = [0]
    while len(sizes) < 3 or not sizes[-3] == sizes[-2] == sizes[-1] > 0:
        assert process.poll() is None
        time.sleep(1)
        sizes.append(journal.stat().st_size if journal.exists() else 0)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_whose_decoder_hangs_within_2_seconds(job, tmp_path, how):
    words = command(job.whimbrel, job.recordings, job.models, tmp_path / "out")
    faults = job.shim(FAULT_FILES="r07.wav", FAULT_HANG_AFTER=MIDWAY)
    process = subprocess.Popen(words, env=faults, stderr=subprocess.DEVNULL)
    wait_until_nothing_comes(tmp_path / "out/.whimbrel-journal", process)  # all others are done by then
    begin = time.monotonic()
    process.send_signal(how)
    assert process.wait(timeout=30) == 1
    assert time.monotonic() - begin < 2
    assert [name for name, (state, _) in states(tmp_path / "out").items() if state != "done"] == ["r07.wav"]
