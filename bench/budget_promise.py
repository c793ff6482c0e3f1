"""Does --budget keep its promise? Twenty runs with budgets from 3 % to 150 % of what is needed, half of them under a load.

The load is one busy process a core, started when a third of the budget is over. Prints every run: its budget, when it ended,
what it dropped and filled, and whether the submission is complete and valid.
"""

import argparse
import csv
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import common
from quantize_models import CASES

SHARES = [0.03, 0.06, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0, 1.5]
NETWORKS = ["tf_efficientnet_b0.sed", "tf_efficientnetv2_s.cnn", "eca_nfnet_l0"]
LOAD = "while True: pass"


def rows_of(path, expected_ids, classes):
    """Rows of a submission; "" or what is wrong with it."""
    with path.open() as file:
        table = list(csv.reader(file))
    if table[0] != ["row_id", *classes]:
        return "wrong header"
    if [row[0] for row in table[1:]] != expected_ids:
        return "wrong rows"
    for row in table[1:]:
        values = [float(v) for v in row[1:]]
        if len(values) != len(classes) or not all(math.isfinite(v) and 0 <= v <= 1 for v in values):
            return f"bad row {row[0]}"
    return ""


def load_later(after_s):
    """Busy processes from then on; call the result to end them."""
    processes = []

    def begin():
        for _ in os.sched_getaffinity(0):
            processes.append(subprocess.Popen([sys.executable, "-S", "-c", LOAD]))

    timer = threading.Timer(after_s, begin)
    timer.start()

    def end():
        timer.cancel()
        timer.join()
        for process in processes:
            process.kill()
            process.wait()

    return end


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--recordings", type=int, default=12)
    options = parser.parse_args()
    common.print_machine()
    files = common.recordings(200, 600)[: options.recordings]  # of the reference job
    manifests = [CASES[name](options.build) for name in NETWORKS]
    out = common.WORK / "budget-promise"
    command = [common.whimbrel(options.build), "predict", *files, "--out", out, "--format=kaggle", "--quiet"]
    for manifest in manifests:
        command += ["--model", manifest]

    def run(*words):
        shutil.rmtree(out, ignore_errors=True)
        begin = time.monotonic()
        done = subprocess.run([*map(str, command), *words], capture_output=True, text=True)
        return time.monotonic() - begin, done

    run()  # warms up: the tuning of engines is kept from here on
    needed_s, done = run()
    if done.returncode != 0:
        sys.exit(done.stderr)
    classes = (pathlib.Path(manifests[0]).parent / "labels.txt").read_text().split("\n")[:-1]
    with (out / "submission.csv").open() as file:
        ids = [row[0] for row in csv.reader(file)][1:]
    print(f"{options.recordings} recordings of 600 s, {len(ids)} windows, three networks: {needed_s:.1f} s needed")
    print(f"{'load':>5} {'share':>6} {'budget':>8} {'ended':>8} {'over':>7}  {'scored':>6} {'filled':>6}  dropped")
    worst, bad = -math.inf, 0
    for load in (False, True):
        for share in SHARES:
            budget_s = share * needed_s
            end_load = load_later(budget_s / 3) if load else lambda: None
            wall_s, done = run("--budget", f"{budget_s:.3f}s")
            end_load()
            wrong = rows_of(out / "submission.csv", ids, classes) if done.returncode in (0, 1) else done.stderr.strip()
            record = json.loads((out / "run.json").read_text()) if not wrong else {}
            over = wall_s - budget_s
            late = over > max(1.0, 0.01 * budget_s)
            bad += bool(wrong) or late
            worst = max(worst, over)
            if wrong:
                print(f"{load!s:>5} {share:6.2f} {budget_s:8.2f} {wall_s:8.2f} {over:+7.2f}  {wrong}")
                continue
            dropped = {c["name"] for c in record["budget"]["changes"] if c["what"] == "dropped"}
            dropped |= {m["name"] for m in record["models"] if not m.get("opened", True)}
            summary = record["summary"]
            print(
                f"{load!s:>5} {share:6.2f} {budget_s:8.2f} {wall_s:8.2f} {over:+7.2f}  {summary['windows']:6} "
                f"{summary['rows_filled']:6}  {', '.join(sorted(dropped)) or '-'}{'  LATE' if late else ''}",
                flush=True,
            )
    print(f"{2 * len(SHARES) - bad} of {2 * len(SHARES)} runs in time and complete; latest {worst:+.2f} s from its deadline")


if __name__ == "__main__":
    main()
