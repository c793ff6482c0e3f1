"""What `make demo` shows: recordings of twelve invented species scored by a small trained network, and compared with the truth.

    python examples/dawn_chorus/demo.py --whimbrel build/release/whimbrel

Needs the built `whimbrel`, numpy and soundfile; ends with 1 if anything is not as it should be.
"""

import argparse
import csv
import json
import pathlib
import shlex
import shutil
import subprocess
import sys
import time

from species import LABELS
from synthesize import synthesize

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = "examples/dawn_chorus/model/dawn_chorus.toml"
SEED, RECORDINGS, SECONDS = 2026, 8, 120.0  # no seed that train.py draws from

ABOUT = {
    "submission.csv": "one row per 5 s window, one column per species",
    "detections.csv": "start, end, names, confidence: for a spreadsheet",
    ".selections.txt": "one selection table per recording: open it in Raven beside the recording",
    "scores.npy": "all scores as a NumPy array; scores.index.csv says which window each row is",
    "run.json": "what ran, how long each stage took, one row per recording with its error",
}


class Failed(Exception):
    """Something in the demo did not go as it should; the message says what to do."""


def run(*command):
    """Runs and shows a command in the project's folder. Returns its exit code."""
    print(f"\n$ {shlex.join(map(str, command))}", flush=True)
    return subprocess.run(command, check=False, cwd=ROOT).returncode


def clock(seconds):
    return f"{seconds // 60}:{seconds % 60:02}"


def show_first_minute(scores_csv, truth_csv, recording):
    """Prints what the network heard in the first twelve windows of a recording beside what was there."""
    scores, truth = (
        {row.pop("row_id"): row for row in csv.DictReader(path.read_text().splitlines())} for path in (scores_csv, truth_csv)
    )
    print(f"\nThe first minute of {recording.name}, heard at 0.5 or more (+ right, ! wrong, - missed):")
    for end_s in range(5, 65, 5):
        row_id = f"{recording.stem}_{end_s}"
        marks = []
        for label in LABELS:
            score, present = float(scores[row_id][label]), truth[row_id][label] == "1"
            if score >= 0.5 or present:
                mark = "-" if score < 0.5 else "+" if present else "!"
                marks.append(f"{mark} {label.split('_')[1]} {score:.2f}")
        print(f"  {clock(end_s - 5)}  " + (", ".join(marks) or "(nothing)"))


def show_files(folder):
    print("\nFiles written:")
    files = sorted(path.relative_to(ROOT) for path in folder.rglob("*") if path.is_file())
    for ending, meaning in ABOUT.items():
        found = [path for path in files if path.name.endswith(ending)]
        if found:
            shown = str(found[0]) + (f" and {len(found) - 1} more" if len(found) > 1 else "")
            print(f"  {shown}\n      {meaning}")


def demo(whimbrel, out):
    recordings, scores = out / "recordings", out / "scores"
    if out.exists():
        shutil.rmtree(out)
    started = time.monotonic()
    *good, bad = synthesize(recordings, RECORDINGS, SECONDS, SEED, ["wav", "flac", "ogg"], with_bad_header=True)
    made_s = time.monotonic() - started
    print(f"Dawn chorus: {len(good)} recordings of 2 minutes, {len(LABELS)} invented species, made in {made_s:.0f} s.")
    print(f"WAV, FLAC and OGG at 32, 44.1 and 48 kHz, mono and stereo; and {bad.name}, whose header is wrong.")

    code = run(whimbrel, "predict", recordings.relative_to(ROOT), "--model", MODEL, "--out", scores.relative_to(ROOT),
               "--format", "kaggle,csv,raven,npy")  # fmt: skip
    if code != 1:
        raise Failed(f"predict ended with {code}, expected 1: one recording failed, the others are scored")
    rows = json.loads((scores / "run.json").read_text())["recordings"]
    not_done = [pathlib.Path(row["path"]).name for row in rows if row["state"] != "done"]
    if not_done != [bad.name] or len(rows) != len(good) + 1:
        raise Failed(f"run.json: {len(rows)} recordings, not done: {not_done}; expected {len(good) + 1} and [{bad.name}]")
    print(f"Exit code 1 is right: {bad.name} is reported, and did not stop the other {len(good)}.")

    code = run(whimbrel, "score", (scores / "submission.csv").relative_to(ROOT), (recordings / "truth.csv").relative_to(ROOT))
    if code != 0:
        raise Failed(f"score ended with {code}, expected 0")
    show_first_minute(scores / "submission.csv", recordings / "truth.csv", good[0])
    show_files(scores)
    shown = recordings.relative_to(ROOT)
    print(f"\nTo listen: {shown / good[0].name}; what calls in it and when: {shown / 'events.csv'}")


def main():
    parser = argparse.ArgumentParser(description="Synthesize, predict, score.")
    parser.add_argument("--whimbrel", default="build/release/whimbrel", help="the built program")
    parser.add_argument("--out", default="out/demo", help="made anew; this and --whimbrel count from the project's folder")
    arguments = parser.parse_args()
    if not (ROOT / arguments.whimbrel).is_file():
        sys.exit(f"demo: {arguments.whimbrel} is not there; run `make build` first")
    out = (ROOT / arguments.out).resolve()
    if ROOT / "out" not in out.parents:
        sys.exit(f"demo: --out {arguments.out} is removed and made anew, so it must lie inside out/")
    try:
        demo(arguments.whimbrel, out)
    except Failed as error:
        sys.exit(f"demo: {error}")


if __name__ == "__main__":
    main()
