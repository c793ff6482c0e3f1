"""Names, links, full disks, signals and clocks: what the system does to a run while its recordings are fine."""

import contextlib
import csv
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "data"))

from faults import FORMATS, GOOD_NAMES, Faults, build_shim, ledger, nothing_temporary, read_csv, record_of, rows_of
from small_networks import Network, files_of, write_recording


@pytest.fixture(scope="module")
def faults(whimbrel, tmp_path_factory):
    return Faults(whimbrel, tmp_path_factory.mktemp("faults"))


# --- names

NAMES = [
    b"-dash.wav",
    b"--out.wav",
    b"@at.wav",
    b"=1+1.wav",
    b" sp  ace .wav",
    b"new\nline.wav",
    b"ta\tb.wav",
    b"quote\"s'.wav",
    b"com,ma;.wav",
    b"back\\slash.wav",
    b"per%s{}cent.wav",
    b"bad\xff\xfe\xc3.wav",
    "Grünfink 鳥.wav".encode(),
    b"dots...wav",
    b".hidden.wav",
    b"\x01\x7f.wav",
    b"x" * 251 + b".wav",
    ("é" * 125 + "y.wav").encode(),
    b"CON.wav",
]


def text_of(name):
    return os.fsdecode(name)


def flat(name):
    """As a format without quoting has it."""
    return "".join(" " if ord(c) < 32 or ord(c) == 127 else c for c in text_of(name))


@pytest.fixture(scope="module")
def named(faults, tmp_path_factory):
    """(folder of recordings with NAMES, folder of outputs in every format)"""
    folder, out = tmp_path_factory.mktemp("names") / "in", tmp_path_factory.mktemp("named")
    folder.mkdir()
    for name in NAMES:
        shutil.copy(faults.good / GOOD_NAMES[0], os.fsencode(folder) + b"/" + name)
    done = faults.run(folder, out)
    assert done.returncode == 0, done.stderr
    return folder, out


def test_names_come_back_from_csv_npy_and_kaleidoscope_to_the_byte(named):
    folder, out = named
    paths = {f"{folder}/{text_of(name)}" for name in NAMES}
    assert {row[1] for row in read_csv(out / "scores.index.csv")} == paths
    assert {row[-1] for row in read_csv(out / "detections.csv")} == paths
    rows = read_csv(out / "kaleidoscope.csv")
    assert {(row[0], row[1], row[2]) for row in rows} == {(str(folder), "", text_of(name)) for name in NAMES}
    assert len(np.load(out / "scores.npy")) == 4 * len(NAMES)


def test_names_in_kaggle_and_raven_have_spaces_for_control_characters(named):
    folder, out = named
    stems = {flat(os.path.splitext(name)[0]) for name in NAMES}
    assert {row[0].rpartition("_")[0] for row in read_csv(out / "submission.csv")} == stems
    told = set()
    for path in out.glob("*.selections.txt"):
        lines = path.read_bytes().split(b"\n")
        assert all(line.count(b"\t") == 11 for line in lines if line)
        told |= {os.fsdecode(line.split(b"\t")[10]) for line in lines[1:] if line}
    assert told == {f"{folder}/{flat(name)}" for name in NAMES}


def test_names_in_json_have_a_replacement_for_bytes_that_are_no_utf8(named):
    folder, out = named
    expected = {f"{folder}/{name.decode(errors='replace')}" for name in NAMES}
    lines = [json.loads(line) for line in (out / "detections.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {line["file"] for line in lines} == expected
    assert {r["path"] for r in record_of(out)["recordings"]} == expected


def test_names_of_255_bytes_are_cut_in_files_of_their_own(named):
    """`<name>.selections.txt.tmp` would be longer than a name may be: its beginning and a hash stand for it."""
    _, out = named
    for ending in (".selections.txt", ".txt"):
        files = {os.fsencode(p.name) for p in out.glob(f"*{ending}") if (ending == ".txt") != (".selections" in p.name)}
        whole = {name + ending.encode() for name in NAMES if len(name) < 230}
        assert len(files) == len(NAMES) and whole < files
        for name in files - whole:
            assert 240 < len(name) <= 251 and b"~" in name
            name.decode()  # not cut inside a character
    assert nothing_temporary(out)


def test_names_that_begin_with_a_dash_are_recordings_after_two_dashes(faults, named, tmp_path):
    folder, _ = named
    words = ["predict", "--model", faults.model, "--out", tmp_path, "--", "-dash.wav", "--out.wav", "@at.wav"]
    done = subprocess.run([str(faults.whimbrel), *map(str, words)], capture_output=True, text=True, cwd=folder, timeout=60)
    assert done.returncode == 0, done.stderr
    assert set(ledger(tmp_path)) == {"-dash.wav", "--out.wav", "@at.wav"}


def test_long_names_with_the_same_beginning_have_files_of_their_own(faults, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for last in "abc":
        shutil.copy(faults.good / GOOD_NAMES[0], folder / ("x" * 250 + last + ".wav"))
    done = faults.run(folder, tmp_path / "out", formats="raven,audacity")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*.txt"))) == 6


# --- the same recording twice


@pytest.mark.parametrize("layout", FORMATS.split(","))
def test_the_same_stem_in_two_folders(faults, tmp_path, layout):
    """Two rows of kaggle could not be told apart: refused at once, with both paths. The other formats have both."""
    for site in ("a", "b"):
        (tmp_path / "in" / site).mkdir(parents=True)
        shutil.copy(faults.good / GOOD_NAMES[0], tmp_path / "in" / site / "x.wav")
    done = faults.run(tmp_path / "in", tmp_path / "out", formats=layout)
    if layout == "kaggle":
        assert done.returncode == 2
        assert all(f"in/{site}/x.wav" in done.stderr for site in ("a", "b")) and "rename one" in done.stderr
        assert not list((tmp_path / "out").rglob("*"))
        return
    assert done.returncode == 0, done.stderr
    text = "".join(path.read_text(errors="replace") for path in (tmp_path / "out").rglob("*.*") if path.name != "run.json")
    if layout == "audacity":
        assert (tmp_path / "out/a/x.wav.txt").read_text() == (tmp_path / "out/b/x.wav.txt").read_text() != ""
    else:
        assert (text.count("in/a/x.wav") or text.count(",a,x.wav")) == (text.count("in/b/x.wav") or text.count(",b,x.wav")) > 0


def test_one_file_by_several_paths(faults, tmp_path):
    """A path written in another way is the same recording; a hard link and a link are recordings of their own."""
    folder = faults.with_good(tmp_path / "in")
    os.link(folder / GOOD_NAMES[0], folder / "n_hard.wav")
    (folder / "n_link.wav").symlink_to(GOOD_NAMES[0])
    again = [folder, folder / GOOD_NAMES[0], f"{folder}/../in/./{GOOD_NAMES[0]}", f"{folder}//{GOOD_NAMES[1]}"]
    done = faults.run(again, tmp_path / "out")
    faults.check(done, tmp_path / "out", others=["n_hard.wav", "n_link.wav"])
    rows = rows_of(tmp_path / "out")
    assert rows["n_hard.wav"][:4] == rows["n_link.wav"][:4] == rows[GOOD_NAMES[0]][:4]  # times and scores


# --- what is no file


@pytest.fixture
def zoo(faults, tmp_path):
    """A folder with a pipe, a socket, devices and links that lead nowhere beside the good recordings."""
    folder = faults.with_good(tmp_path / "zoo")
    os.mkfifo(folder / "n_pipe.wav")
    for name, target in {
        "n_zero.wav": "/dev/zero",
        "n_null.wav": "/dev/null",
        "n_tty.wav": "/dev/tty",
        "n_dangling.wav": "nowhere.wav",
        "n_self.wav": "n_self.wav",
        "n_loop1.wav": "n_loop2.wav",
        "n_loop2.wav": "n_loop1.wav",
        "n_folder.wav": ".",
        "up": "..",
    }.items():
        (folder / name).symlink_to(target)
    server = socket.socket(socket.AF_UNIX)
    with contextlib.chdir(folder):  # its path is too long for a socket
        server.bind("n_socket.wav")
    yield folder
    server.close()


def test_a_folder_is_searched_for_files_only(faults, zoo, tmp_path):
    """Pipes, sockets and devices are passed over, links to folders are not followed, and nothing waits."""
    faults.check(faults.run(zoo, tmp_path / "out", timeout=30), tmp_path / "out")


NO_FILES = {
    "n_pipe.wav": "is not a regular file",
    "n_socket.wav": "is not a regular file",
    "n_zero.wav": "is not a regular file",
    "n_null.wav": "is not a regular file",
    "n_self.wav": "Too many levels of symbolic links",
    "n_loop1.wav": "Too many levels of symbolic links",
}


@pytest.mark.parametrize("how", ["arguments", "list"])
def test_what_is_named_and_no_file_is_one_bad_recording(faults, zoo, tmp_path, how):
    names = NO_FILES | ({"n_dangling.wav": "no such file"} if how == "list" else {})
    paths = [zoo / name for name in [*names, *GOOD_NAMES]]
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in paths))
    done = faults.run(paths if how == "arguments" else f"@{tmp_path / 'list.txt'}", tmp_path / "out", timeout=30)
    states = faults.check(done, tmp_path / "out", names)
    for name, message in names.items():
        assert f"{name}: {message}" in states[name]["error"]


def test_an_argument_that_is_not_there_ends_the_run_before_it_begins(faults, zoo, tmp_path):
    done = faults.run([zoo / "n_dangling.wav", zoo / GOOD_NAMES[0]], tmp_path / "out")
    assert done.returncode == 2 and "n_dangling.wav: no such recording or folder" in done.stderr
    assert not (tmp_path / "out").exists()


# --- where output goes


@contextlib.contextmanager
def small_disk(path, size):
    """A file system of so many bytes at `path`. Skips where this process may not mount one."""
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no small file system can be mounted: {mounted.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.fixture(scope="module")
def long_recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    for i in range(3):
        write_recording(folder / f"r{i}.wav", 60, i)
    return folder


def test_a_disk_that_is_full(faults, long_recordings, tmp_path):
    """At every size from nothing to enough: as the spool, a format's file, run.json do not fit."""
    seen, sizes = set(), [4096 * pages for pages in (1, 2, 3, 4, 6, 8, 10, 14, 20, 25, 30, 40, 60, 100)]
    with small_disk(tmp_path / "disk", "1m") as disk:
        for size in sizes:
            (disk / "earlier.csv").write_text("an earlier result\n")
            subprocess.run(["mount", "-o", f"remount,size={size + 4096}", disk], check=True)
            done = faults.run(long_recordings, disk / "out", formats="npy,csv,raven")
            left = files_of(disk / "out")
            assert nothing_temporary(disk)
            assert (disk / "earlier.csv").read_text() == "an earlier result\n"
            if done.returncode == 0:
                break
            assert done.returncode == 3 and not (disk / "out/run.json").exists()
            assert "No space left on device; free some space or choose another folder" in done.stderr
            assert len(done.stderr.strip().splitlines()) == 1 and str(disk / "out") in done.stderr
            seen.add(done.stderr.split(": ")[1].rpartition("/")[2] + ":" + done.stderr.split(": ")[2])
            for name, data in left.items():
                if name.endswith(".selections.txt"):  # complete, or not there
                    assert data.startswith(b"Selection\t") and data.endswith(b"\n")
            shutil.rmtree(disk / "out")
            subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        else:
            pytest.fail("never enough")
    assert any(".whimbrel-journal" in where or "temporary file of scores" in where for where in seen), seen
    assert any("selections.txt" in where for where in seen) and len(seen) >= 3, seen


@pytest.mark.parametrize("limit", [100, 1000, 10_000, 30_000])
def test_a_limit_of_file_size(faults, long_recordings, tmp_path, limit):
    """As a full disk; the signal that comes with it does not end the process."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "detections.csv").write_text("of an earlier run\n")
    done = faults.run(
        long_recordings,
        out,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        formats="npy,csv,raven",
    )
    assert done.returncode == 3 and "File too large; raise the limit of a file's size (ulimit -f)" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert (out / "detections.csv").read_text() == "of an earlier run\n"
    assert nothing_temporary(out) and not (out / "run.json").exists()


def test_an_output_folder_that_is_read_only(faults, tmp_path):
    with small_disk(tmp_path / "disk", "1m") as disk:
        (disk / "out").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        done = faults.run(faults.good, disk / "out")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
    assert "Read-only file system, expected a folder that results can be written to; choose another --out" in done.stderr


def test_an_output_folder_that_is_a_file(faults, tmp_path):
    (tmp_path / "out").write_text("mine")
    done = faults.run(faults.good, tmp_path / "out")
    assert done.returncode == 2 and "Not a directory, expected a folder that results can be written to" in done.stderr
    assert (tmp_path / "out").read_text() == "mine"


def test_an_output_file_that_is_a_folder(faults, tmp_path):
    (tmp_path / "out/submission.csv").mkdir(parents=True)
    done = faults.run(faults.good, tmp_path / "out")
    assert done.returncode == 3 and "submission.csv: cannot create a file: Is a directory; expected a file" in done.stderr
    assert nothing_temporary(tmp_path / "out")


@pytest.fixture(scope="module")
def hour(tmp_path_factory):
    """Two seconds, then an hour: a run that is under way for some time."""
    folder = tmp_path_factory.mktemp("hour")
    write_recording(folder / "a_short.wav", 2, 1)
    write_recording(folder / "b_hour.wav", 3600, 2)
    return folder


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory):
    return Network(1).write(tmp_path_factory.mktemp("slow"), "slow", slow=2)


@pytest.fixture(scope="module")
def slowest_model(tmp_path_factory):
    return Network(1).write(tmp_path_factory.mktemp("slowest"), "slowest", slow=150)


@contextlib.contextmanager
def started(whimbrel, model, inputs, out, *words, **options):
    """The command under way."""
    command = [str(whimbrel), "predict", str(inputs), "--model", str(model), "--out", str(out), "--engine", "onnxruntime"]
    command += ["--batch", "8", "--format", "npy,kaggle,csv,raven", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(path, process):
    while not path.exists() and process.poll() is None:
        time.sleep(0.01)


def test_an_output_folder_that_is_removed_during_the_run(faults, slowest_model, hour, tmp_path):
    out = tmp_path / "out"
    with started(faults.whimbrel, slowest_model, hour, out) as process:
        wait_for(out / "a_short.wav.selections.txt", process)
        out.rename(tmp_path / "moved")
        shutil.rmtree(tmp_path / "moved")
        process.send_signal(signal.SIGINT)  # it has seen enough
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3
    assert str(out) in stderr and "No such file or directory" in stderr.splitlines()[-1]


# --- where words go


@pytest.mark.parametrize("where", ["> /dev/full", ">&-", "| head -c 9"])
def test_stdout_that_takes_nothing(faults, tmp_path, where):
    """The files are complete; what could not be printed is told, but for a reader that had enough before the end of it."""
    command = f'"{faults.whimbrel}" predict "{faults.good}" --model "{faults.model}" --out "{tmp_path}" --json {where}'
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, timeout=60)
    assert {entry["state"] for entry in ledger(tmp_path).values()} == {"done"}
    if "head" not in where:
        assert done.returncode == 3 and "stdout: cannot write" in done.stderr
        assert "files that were written are whole" in done.stderr


def test_a_json_that_nobody_reads_is_told(faults, tmp_path):
    """A pipe whose other end is closed: no silent death by SIGPIPE."""
    reading, writing = os.pipe()
    os.close(reading)
    done = faults.run(faults.good, tmp_path / "out", "--json", capture_output=False, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert done.returncode == 3 and "stdout: cannot write: Broken pipe" in done.stderr
    assert rows_of(tmp_path / "out") == faults.rows


@pytest.mark.parametrize("where", ["2> /dev/full", "2>&-", "2>&1 | head -c 0", ">&- 2>&- <&-"])
def test_stderr_that_takes_nothing_does_not_stop_a_run(faults, tmp_path, where):
    folder = faults.with_good(tmp_path / "in")
    (folder / "n_bad.wav").write_text("a warning\n")
    command = f'"{faults.whimbrel}" predict "{folder}" --model "{faults.model}" --out "{tmp_path / "out"}"'
    command += f" --format {FORMATS} --engine onnxruntime --batch 8 --quiet {where}"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert rows_of(tmp_path / "out") == faults.rows  # and no message went into a file
    failing = f'"{faults.whimbrel}" predict "{folder}" --model none --out "{tmp_path / "out"}" {where}'
    assert subprocess.run(["bash", "-c", f"set -o pipefail; {failing}"], capture_output=True, timeout=60).returncode == 2


# --- the clock


@pytest.mark.parametrize("jump_s", [-86400, 86400])
@pytest.mark.parametrize("budget", [[], ["--budget", "60s"]])
def test_a_wall_clock_that_jumps_by_a_day_changes_nothing(faults, tmp_path, jump_s, budget):
    """Back and forth at every look at it. Deadlines and times come from a clock that only goes on."""
    env = build_shim(tmp_path)(FAULT_CLOCK_S=jump_s)
    says = subprocess.run(
        ["bash", "-c", "printf '%(%s)T %(%s)T %(%s)T'"], capture_output=True, text=True, env=env
    ).stdout.split()
    assert len({abs(int(a) - int(b)) > 80000 for a in says for b in says}) == 2  # the shim works
    done = faults.run(faults.good, tmp_path / "out", *budget, env=env)
    faults.check(done, tmp_path / "out")
    summary = record_of(tmp_path / "out")["summary"]
    assert 0 < summary["wall_s"] < 100 and summary["windows_per_s"] > 0
    assert not budget or not record_of(tmp_path / "out")["budget"]["ran_out"]


# --- signals

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
PHASES = ["start-up", "decoding", "inference", "writing"]


@pytest.mark.serial
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_ends_a_run_cleanly_within_2_seconds(faults, slow_model, hour, tmp_path, number, phase):
    out = tmp_path / "out"
    model = slow_model if phase == "inference" else faults.model
    slow = {"FAULT_FILES": "b_hour", "FAULT_SLOW_US": 5000} if phase == "decoding" else {}
    with started(faults.whimbrel, model, hour, out, env=build_shim(tmp_path)(**slow)) as process:
        if phase == "start-up":
            wait_for(out, process)  # made before the sessions are opened
        else:
            wait_for(out / "a_short.wav.selections.txt", process)
        if phase == "writing":  # of the hour's own file, or of what comes after it
            wait_for(out / "b_hour.wav.selections.txt.tmp", process)
        process.send_signal(number)
        begin = time.monotonic()
        _, stderr = process.communicate(timeout=60)
        took_s = time.monotonic() - begin
    assert took_s < 2  # the bound that is promised
    states = ledger(out)
    rows = {name: rows_of_index(out, name) for name in states}
    assert nothing_temporary(out)
    for name, seconds in (("a_short.wav", 2), ("b_hour.wav", 3600)):
        whole = states[name]["state"] == "done"
        assert rows[name] == (seconds if whole else 0) and states[name]["state"] in ("done", "cancelled")
    assert len(read_csv(out / "submission.csv")) == sum(rows.values()) == len(np.load(out / "scores.npy"))
    if states["b_hour.wav"]["state"] == "done":  # only the last phase can be too late to be stopped
        assert phase == "writing" and process.returncode == 0
        return
    assert process.returncode == 1 and record_of(out)["summary"]["stopped_early"]
    assert "stopped early, output valid but incomplete" in stderr and "not reached" in stderr
    assert "the run was stopped before this recording was finished" in states["b_hour.wav"]["error"]
    if phase != "start-up":
        assert states["a_short.wav"]["state"] == "done"


def rows_of_index(out, name):
    with (out / "scores.index.csv").open() as file:
        return sum(1 for row in csv.DictReader(file) if os.path.basename(row["file"]) == name)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGINT, signal.SIGTERM),
        (signal.SIGTERM, signal.SIGHUP),
        (signal.SIGHUP, signal.SIGINT),
    ],
)
def test_a_second_signal_ends_at_once(faults, slowest_model, hour, tmp_path, first, second):
    """In the middle of an inference that takes a moment: the first is noted, the second does what it does to any process."""
    with started(faults.whimbrel, slowest_model, hour, tmp_path / "out") as process:
        wait_for(tmp_path / "out/a_short.wav.selections.txt", process)
        process.send_signal(first)
        while handles(process, second) and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(second)
        process.communicate(timeout=60)
    assert process.returncode == -second and not (tmp_path / "out/run.json").exists()


def handles(process, number):
    """Whether a signal has a handler in a process that is there."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    caught = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(caught) and caught[0] >> (number - 1) & 1


def test_a_run_under_nohup_outlives_its_terminal(faults, hour, tmp_path):
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    with started(faults.whimbrel, faults.model, hour, tmp_path / "out", preexec_fn=ignore) as process:
        wait_for(tmp_path / "out/a_short.wav.selections.txt", process)
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert {entry["state"] for entry in ledger(tmp_path / "out").values()} == {"done"}
