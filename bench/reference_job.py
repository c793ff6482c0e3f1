"""The reference job in full: 200 ten-minute OGG recordings, three networks as one ensemble, inside a time budget.

The budget of the reference, two hours on four cores, is scaled to the cores of this machine. Prints windows/s, CPU utilization,
peak memory, what the budget did, and what the submission holds.
"""

import argparse
import csv
import json
import os
import shutil

import common
from quantize_models import CASES

NETWORKS = ["tf_efficientnet_b0.sed", "tf_efficientnetv2_s.cnn", "eca_nfnet_l0"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--recordings", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--budget-s", type=float, help="default: two hours on four cores, for the same windows a core")
    parser.add_argument("--models", nargs="*", help="manifests; default: the three networks of the reference job")
    parser.add_argument("--plan", help="run a plan instead")
    options = parser.parse_args()
    common.print_machine()
    cores = len(os.sched_getaffinity(0))
    budget_s = options.budget_s or 7200 * 4 / cores * options.recordings * options.seconds / (200 * 600)
    files = common.recordings(options.recordings, options.seconds)
    out = common.WORK / "reference-job"
    shutil.rmtree(out, ignore_errors=True)
    models = ["--plan", options.plan] if options.plan else []
    for manifest in options.models or ([] if options.plan else [CASES[name](options.build) for name in NETWORKS]):
        models += ["--model", manifest]
    listing = common.WORK / "reference-job.txt"
    listing.write_text("\n".join(files))
    command = [common.whimbrel(options.build), "predict", f"@{listing}", *models, "--out", out, "--format", "kaggle", "--quiet"]
    result = common.run([*command, "--budget", f"{budget_s}s"])
    record = json.loads((out / "run.json").read_text())
    summary = record["summary"]
    with (out / "submission.csv").open() as file:
        rows = sum(1 for _ in csv.reader(file)) - 1
    print(f"{options.recordings} recordings of {options.seconds} s, budget {budget_s:.0f} s on {cores} cores")
    for model in record["models"]:
        print(f"  {model['name']}: {model['engine']}, batch {model['batch']}")
    print(f"finished after {result['wall_s']:.1f} s ({100 * result['wall_s'] / budget_s:.1f} % of the budget)")
    print(f"{rows} rows, {summary['windows']} windows scored, {summary['rows_filled']} filled")
    print(
        f"{summary['windows_per_s']:.1f} windows/s, {100 * result['cpu_s'] / result['wall_s'] / cores:.1f} % of the cores",
        end="",
    )
    print(f", peak memory {result['rss_mb']:.0f} MB")
    print(f"budget: {json.dumps(record['budget']['changes'])}")


if __name__ == "__main__":
    main()
