"""Repeated runs with random faults: `make soak MINUTES=120`.

Every round runs the command over 20 recordings with one fault of a random kind, checks that all recordings which the fault has
not hit are scored as without it, mends the fault, and goes on with --resume: then every file must be to the byte what one
undisturbed run writes. Between the rounds one process that lives as long as the soak scores the same recordings, good and bad,
through `whimbrel.Predictor`; its resident memory and open descriptors must stay flat.
"""

import argparse
import collections
import json
import os
import pathlib
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from faults import build_shim
from interrupted import command, make_job, run_with_kills
from small_networks import files_of

MOST_GROWTH = 1.01  # of resident memory, from the second quarter of the rounds to the last
MOST_GROWTH_BYTES = 2_000_000  # what the allocator may keep besides


class Soak:
    def __init__(self, whimbrel, folder, seed):
        self.whimbrel, self.folder = whimbrel, folder
        self.rng = random.Random(seed)
        self.good, self.models = make_job(folder / "good")
        self.field = folder / "field"
        self.shim = build_shim(folder)
        self.counts = collections.Counter()
        begin = time.monotonic()
        self.mend()
        assert self.predict(folder / "whole").returncode == 0
        self.took_s = time.monotonic() - begin
        self.whole = files_of(folder / "whole")
        self.rows = rows_by_recording(self.whole["submission.csv"].decode())

    def mend(self):
        """The good recordings as they were, with their times."""
        shutil.rmtree(self.field, ignore_errors=True)
        self.field.mkdir()
        for path in self.good.iterdir():
            os.link(path, self.field / path.name)

    def predict(self, out, *words, limit_bytes=None, **faults):
        def limit():
            if limit_bytes is not None:
                import resource

                resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

        words = command(self.whimbrel, self.field, self.models, out, "--threads", self.rng.randint(1, 8), *words)
        return subprocess.run(
            words, env=self.shim(FAULT_CLOSE=1, **faults), capture_output=True, text=True, timeout=300, preexec_fn=limit
        )

    def round(self, kinds):
        kind = self.rng.choice(kinds)
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        codes, hit = FAULTS[kind](self, out)
        self.counts[kind] += 1
        if codes is not None and (out / "submission.csv").exists():
            rows = rows_by_recording((out / "submission.csv").read_text())
            wrong = [name for name in self.rows if name not in hit and rows.get(name) != self.rows[name]]
            assert not wrong, f"{kind}: rows of {wrong} are not those of an undisturbed run"
        self.mend()
        done = self.predict(out, "--resume=redo")
        assert done.returncode == 0, f"{kind}, then mended: {done.stderr}"
        ours = files_of(out)
        assert ours == self.whole, (
            f"{kind}: other bytes in {[n for n in ours.keys() | self.whole if ours.get(n) != self.whole.get(n)]}"
        )

    def some(self, most=5):
        return self.rng.sample(sorted(path.name for path in self.field.iterdir()), self.rng.randint(1, most))

    def checked(self, done, codes, hit=()):
        assert done.returncode in codes, (done.returncode, done.stderr)
        return codes, {pathlib.Path(name).stem for name in hit}


def rows_by_recording(submission):
    rows = collections.defaultdict(list)
    for line in submission.splitlines()[1:]:
        rows[line.split(",", 1)[0].rpartition("_")[0]].append(line)
    return rows


def killed(soak, out):
    rng = np.random.default_rng(soak.rng.getrandbits(32))
    words = command(soak.whimbrel, soak.field, soak.models, out, "--threads", soak.rng.randint(1, 8))
    soak.counts["kills"] += run_with_kills(words, rng, soak.took_s)
    return None, ()


def stopped(soak, out):
    words = command(soak.whimbrel, soak.field, soak.models, out)
    how = soak.rng.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, preexec_fn=lambda: signal.signal(how, signal.SIG_DFL))
    time.sleep(soak.rng.uniform(0, soak.took_s))
    process.send_signal(how)
    assert process.wait(timeout=10) in (0, 1, 3, -how), process.returncode
    return None, ()


def damaged(soak, out):
    """Recordings that are empty, cut off, noise, or have a few bytes changed."""
    hit = soak.some(10)
    for name in hit:
        path = soak.field / name
        data = bytearray(path.read_bytes())
        path.unlink()
        how = soak.rng.randrange(4)
        if how == 0:
            data = b""
        elif how == 1:
            data = data[: soak.rng.randrange(len(data))]
        elif how == 2:
            data = soak.rng.randbytes(5000)
        else:
            for _ in range(20):
                data[soak.rng.randrange(60)] = soak.rng.randrange(256)
        path.write_bytes(data)
    return soak.checked(soak.predict(out), (0, 1), hit)


def vanished(soak, out):
    hit = soak.some()
    for name in hit:
        (soak.field / name).unlink()
    return soak.checked(soak.predict(out), (0,), hit)


def unreadable(soak, out):
    hit = soak.some(1)
    return soak.checked(soak.predict(out, FAULT_FILES=hit[0], FAULT_EIO_AFTER=soak.rng.randrange(100_000)), (1,), hit)


def short_reads(soak, out):
    return soak.checked(soak.predict(out, FAULT_FILES="field/", FAULT_SHORT=1), (0,))


def clock(soak, out):
    return soak.checked(soak.predict(out, FAULT_CLOCK_S=soak.rng.choice([-86400, 86400])), (0,))


def hung(soak, out):
    hit = soak.some(1)
    faults = {"FAULT_FILES": hit[0], "FAULT_HANG_AFTER": soak.rng.choice([0, 50_000])}
    return soak.checked(soak.predict(out, "--decode-timeout", "2s", **faults), (1,), hit)


def full(soak, out):
    done = soak.predict(out, limit_bytes=soak.rng.choice([100, 1000, 5000, 20_000, 50_000]))
    return soak.checked(done, (0, 3))[0] and None, ()


FAULTS = {
    "killed": killed,
    "stopped by a signal": stopped,
    "damaged recordings": damaged,
    "recordings gone": vanished,
    "read errors": unreadable,
    "short reads": short_reads,
    "wall clock jumps": clock,
    "decoder hangs": hung,
    "no room for files": full,
}


# --- the process that lives long


def live_long(models):
    """Scores what stdin names, a line a run, and answers with its memory, descriptors and scores."""
    import whimbrel

    predictor = whimbrel.Predictor(models, engine="onnxruntime", batch=4, threads=2)
    for line in sys.stdin:
        result = predictor.predict(json.loads(line))
        scores = np.asarray(result.scores)
        resident = int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        states = collections.Counter(recording["state"] for recording in result.record["recordings"])
        answer = {"rss": resident, "descriptors": len(os.listdir("/proc/self/fd")), "sum": float(scores.sum()), **states}
        print(json.dumps(answer), flush=True)


class LongLived:
    def __init__(self, soak):
        words = [sys.executable, __file__, "--live-long", *map(str, soak.models)]
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.soak = soak
        self.bad = [soak.folder / name for name in ("noise.wav", "empty.wav", "cut.flac")]
        for path, data in zip(self.bad, (soak.rng.randbytes(3000), b"", b"fLaC" + bytes(500)), strict=True):
            path.write_bytes(data)
        self.answers = []

    def run(self):
        bad = [str(path) for path in self.bad if self.soak.rng.random() < 0.5]
        self.process.stdin.write(json.dumps([*bad, str(self.soak.good)]) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer.get("failed", 0) == len(bad) and answer["done"] == len(self.soak.rows), answer
        self.answers.append(answer)
        assert answer["sum"] == self.answers[0]["sum"], "scores have changed"

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0
        quarter = max(1, len(self.answers) // 4)
        early, late = self.answers[quarter : 2 * quarter] or self.answers, self.answers[-quarter:]
        growth = [statistics.median(a[key] for a in part) for key in ("rss", "descriptors") for part in (early, late)]
        return growth


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--whimbrel", type=pathlib.Path)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", nargs="+", choices=sorted(FAULTS), help="kinds of faults; default: all")
    parser.add_argument("--live-long", nargs="*", default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.live_long is not None:
        return live_long(arguments.live_long)
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().getrandbits(32)
    end = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory(prefix="whimbrel-soak-") as folder:
        os.environ["WHIMBREL_CACHE"] = folder
        soak = Soak(arguments.whimbrel.resolve(), pathlib.Path(folder), seed)
        lives = LongLived(soak)
        print(f"soak: {arguments.minutes:g} minutes, seed {seed}, {platform.machine()}, {os.cpu_count()} cores", flush=True)
        rounds = 0
        while time.monotonic() < end or rounds == 0:
            soak.round(arguments.only or sorted(FAULTS))
            lives.run()
            rounds += 1
            if rounds % 50 == 0:
                print(f"  {rounds} rounds, resident {lives.answers[-1]['rss'] / 1e6:.1f} MB", flush=True)
        rss_early, rss_late, fds_early, fds_late = lives.end()
    print(f"rounds, all byte-identical after --resume: {rounds}; kills within them: {soak.counts.pop('kills', 0)}")
    for kind, count in sorted(soak.counts.items()):
        print(f"  {kind:22} {count}")
    print(f"one process: {len(lives.answers)} runs, resident {rss_early / 1e6:.1f} -> {rss_late / 1e6:.1f} MB,", end=" ")
    print(f"descriptors {fds_early:.0f} -> {fds_late:.0f}")
    leaks = rss_late > MOST_GROWTH * rss_early + MOST_GROWTH_BYTES or fds_late > fds_early
    print("soak: " + ("LEAKS" if leaks else "flat"))
    return 1 if leaks else 0


if __name__ == "__main__":
    sys.exit(main())
