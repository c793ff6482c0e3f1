"""A run that was ended at any moment goes on with --resume, and what it writes is what one run would have written."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

sys.path.insert(0, str(__import__("pathlib").Path(__file__).parents[1] / "data"))
from interrupted import RECORDINGS, command, make_job, pause_when, run_with_kills
from small_networks import Network, files_of, write_plan, write_recording

JOURNAL = ".whimbrel-journal"


class Job:
    def __init__(self, whimbrel, folder):
        self.whimbrel, self.folder = whimbrel, folder
        self.recordings, self.models = make_job(folder)
        begin = time.monotonic()
        self.run(folder / "whole")
        self.took_s = time.monotonic() - begin
        self.whole = files_of(folder / "whole")

    def words(self, out, *words):
        return command(self.whimbrel, self.recordings, self.models, out, *words)

    def run(self, out, *words, code=0):
        done = subprocess.run(self.words(out, *words), capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stderr
        return done

    def interrupted(self, out, *words, how=signal.SIGKILL):
        """Ends a run that has finished a recording or more, but not all."""
        process = subprocess.Popen(self.words(out, *words), stderr=subprocess.DEVNULL)
        assert pause_when(process, lambda: len(finished_recordings(out, self.recordings)) >= 5)
        assert len(finished_recordings(out, self.recordings)) < RECORDINGS - 5, "no run was ended in its midst"
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        process.wait()


@pytest.fixture(scope="module")
def job(whimbrel, tmp_path_factory):
    return Job(whimbrel, tmp_path_factory.mktemp("resume"))


def finished_recordings(out, recordings):
    """Those in the journal."""
    journal = (out / JOURNAL).read_bytes() if (out / JOURNAL).exists() else b""
    return [path for path in sorted(recordings.iterdir()) if str(path).encode() + b"\0{" in journal]


def record_of(out):
    return json.loads((out / "run.json").read_text())


def test_a_whole_run_leaves_no_journal(job):
    assert "submission.csv" in job.whole and "embeddings.npy" in job.whole
    assert JOURNAL not in job.whole


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_random_moments_it_writes_the_same_bytes(job, tmp_path, seed):
    kills = run_with_kills(job.words(tmp_path / "out"), np.random.default_rng(seed), job.took_s)
    assert files_of(tmp_path / "out") == job.whole, f"after {kills} kills"


def test_what_was_scored_is_not_scored_again(job, tmp_path):
    job.interrupted(tmp_path / "out")
    job.run(tmp_path / "out", "--resume")
    record = record_of(tmp_path / "out")
    resumed = [recording for recording in record["recordings"] if recording.get("resumed")]
    assert 0 < len(resumed) < RECORDINGS
    assert record["summary"]["windows_resumed"] == sum(recording["windows"] for recording in resumed)
    whole = record_of(job.folder / "whole")
    drop = ("resumed",)
    assert [{k: v for k, v in r.items() if k not in drop} for r in record["recordings"]] == whole["recordings"]
    assert files_of(tmp_path / "out") == job.whole


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 5, 6, 7, 8])
def test_any_number_of_workers_goes_on_to_the_same_bytes(job, tmp_path, workers):
    job.interrupted(tmp_path / "out")
    job.run(tmp_path / "out", "--resume", "--threads", str(workers))
    assert files_of(tmp_path / "out") == job.whole


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_the_user_stopped_goes_on(job, tmp_path, how):
    job.interrupted(tmp_path / "out", how=how)
    job.run(tmp_path / "out", "--resume")
    assert files_of(tmp_path / "out") == job.whole


def test_other_formats_and_thresholds_are_no_reason_to_score_again(job, tmp_path):
    job.interrupted(tmp_path / "out")
    job.run(tmp_path / "out", "--resume", "--threshold", "0.6", "--smooth", "0.2,0.6,0.2")
    job.run(tmp_path / "other", "--threshold", "0.6", "--smooth", "0.2,0.6,0.2")
    assert record_of(tmp_path / "out")["summary"]["windows_resumed"] > 0
    assert files_of(tmp_path / "out") == files_of(tmp_path / "other")


def test_ranks_and_cascades_go_on_too(whimbrel, job, tmp_path):
    for words in (["--mean", "rank"], ["--mean", "rank", "--tta-shift", "0.5"]):
        out, whole = tmp_path / "".join(words) / "out", tmp_path / "".join(words) / "whole"
        job.run(whole, *words)
        job.interrupted(out, *words)
        run_with_kills(job.words(out, *words, "--resume"), np.random.default_rng(5), 0.8 * job.took_s)
        assert files_of(out) == files_of(whole)
    cascade = {"gate": 0, "threshold": 0.5, "slope": 1.0, "offset": 0.0}
    plan = write_plan(tmp_path / "plan.toml", job.models, [1, 1], record_of(job.folder / "whole"), cascade)
    words = ["predict", job.recordings, "--plan", plan, "--format", "npy", "--quiet", "--out"]
    words = [str(whimbrel), *map(str, words)]
    subprocess.run([*words, tmp_path / "whole"], check=True)
    run_with_kills([*words, str(tmp_path / "out")], np.random.default_rng(6), 0.8 * job.took_s)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_shards_that_were_interrupted_join_to_the_whole(job, tmp_path):
    rows = []
    for shard in (1, 2, 3):
        out = tmp_path / str(shard)
        run_with_kills(job.words(out, "--shard", f"{shard}/3"), np.random.default_rng(shard), job.took_s / 2)
        rows.append((out / "submission.csv").read_text().splitlines())
    lines = job.whole["submission.csv"].decode().splitlines()
    assert rows[0][0] == rows[1][0] == rows[2][0] == lines[0]
    assert sorted(line for shard in rows for line in shard[1:]) == sorted(lines[1:])


def test_without_resume_an_interrupted_run_is_begun_anew(job, tmp_path):
    job.interrupted(tmp_path / "out")
    done = job.run(tmp_path / "out")
    assert "begun anew; --resume would have gone on" in done.stderr
    assert record_of(tmp_path / "out")["summary"]["windows_resumed"] == 0


def test_nothing_to_resume_is_no_error(job, tmp_path):
    job.run(tmp_path / "out", "--resume")
    assert files_of(tmp_path / "out") == job.whole


# --- what has changed


def copy_of(job, folder):
    """The job on recordings and models of its own, interrupted."""
    mine = object.__new__(Job)
    mine.whimbrel, mine.folder, mine.took_s, mine.whole = job.whimbrel, folder, job.took_s, job.whole
    mine.recordings = shutil.copytree(job.recordings, folder / "field")
    shutil.copytree(job.models[0].parent, folder / "models")
    mine.models = [folder / "models" / model.name for model in job.models]
    return mine


@pytest.fixture
def mine(job, tmp_path):
    mine = copy_of(job, tmp_path)
    mine.interrupted(tmp_path / "out")
    return mine


def refused(mine, *messages):
    done = mine.run(mine.folder / "out", "--resume", code=2)
    assert len(done.stderr.splitlines()) == 1 and all(message in done.stderr for message in messages), done.stderr
    assert (mine.folder / "out" / JOURNAL).exists(), "the journal was lost"


def test_a_changed_model_is_refused_or_all_is_scored_anew(mine):
    Network(7).write(mine.folder / "models", "net2", slow=3)
    refused(mine, "models/1/model is", "--resume=redo")
    done = mine.run(mine.folder / "out", "--resume=redo")
    assert "not the run that was ended: models/1/model is" in done.stderr
    assert record_of(mine.folder / "out")["summary"]["windows_resumed"] == 0


def test_a_changed_manifest_is_refused(mine):
    manifest = mine.models[0]
    manifest.write_text(manifest.read_text().replace("weight = 1", "weight = 3"))
    refused(mine, "models/0/manifest is", "models/0/weight is 3.0, was 1.0")


def test_changed_settings_are_refused(mine):
    done = mine.run(mine.folder / "out", "--resume", "--mean", "geometric", code=2)
    assert 'mean is "geometric", was "arithmetic"' in done.stderr


def scored_recording(mine):
    """One that the interrupted run has finished."""
    return finished_recordings(mine.folder / "out", mine.recordings)[0]


def test_a_changed_recording_is_refused_or_scored_anew(mine):
    changed = scored_recording(mine)
    write_recording(changed, 5, 99)
    refused(mine, changed.name, "changed since it was scored")
    mine.run(mine.folder / "out", "--resume=redo")
    record = record_of(mine.folder / "out")
    assert record["summary"]["windows_resumed"] > 0 or len(record["recordings"]) == RECORDINGS
    mine.run(mine.folder / "fresh")
    assert files_of(mine.folder / "out") == files_of(mine.folder / "fresh")


def test_a_recording_that_was_only_touched_counts_as_changed(mine):
    os.utime(scored_recording(mine), ns=(1, 1))
    refused(mine, "changed since it was scored")


def test_a_recording_that_is_gone_is_no_part_of_the_output(mine):
    scored_recording(mine).unlink()
    mine.run(mine.folder / "out", "--resume")
    mine.run(mine.folder / "fresh")
    ours = files_of(mine.folder / "out")  # also the gone one's own files, which the interrupted run has written
    assert {name: ours[name] for name in files_of(mine.folder / "fresh")} == files_of(mine.folder / "fresh")


def test_only_what_failed_is_tried_again(job, tmp_path):
    mine = copy_of(job, tmp_path)
    bad = mine.recordings / "r07.wav"
    good = bad.read_bytes()
    bad.write_bytes(b"not yet copied")
    done = mine.run(tmp_path / "out", code=1)
    assert "r07.wav" in done.stderr
    bad.write_bytes(good)
    mine.run(tmp_path / "out", "--resume")
    record = record_of(tmp_path / "out")
    assert [os.path.basename(r["path"]) for r in record["recordings"] if not r.get("resumed")] == ["r07.wav"]
    ours = files_of(tmp_path / "out")
    assert ours["scores.npy"] == job.whole["scores.npy"] and JOURNAL not in ours


def test_a_torn_journal_gives_what_is_whole_in_it(mine):
    journal = mine.folder / "out" / JOURNAL
    whole = journal.read_bytes()
    for cut in (len(whole) - 1, len(whole) // 2, 30, 1):
        journal.write_bytes(whole[:cut] + b"\x00\xff" * 20)
        mine.run(mine.folder / "out", "--resume", "--threads", "2")
        mine.run(mine.folder / "fresh")
        assert files_of(mine.folder / "out") == files_of(mine.folder / "fresh")


def test_two_runs_may_not_write_into_one_folder(job, tmp_path):
    first = subprocess.Popen(job.words(tmp_path / "out"), stderr=subprocess.DEVNULL)
    assert pause_when(first, (tmp_path / "out" / JOURNAL).exists)
    done = subprocess.run(job.words(tmp_path / "out"), capture_output=True, text=True)
    first.send_signal(signal.SIGCONT)
    assert first.wait() == 0
    assert done.returncode == 2 and "another run writes into this folder" in done.stderr
    assert files_of(tmp_path / "out") == job.whole
