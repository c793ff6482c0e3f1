"""Does `predict --engine auto` find a good setting? The networks of the reference job against `bench --full`.

For each network: what `predict` chooses by itself on its first run (within two seconds), what it takes after `bench --full`,
and the rate of its inference (windows over the workers' time in it), each as a share of the best row of `bench --full` of the
same file.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys

import common
from quantize_models import CASES

NETWORKS = ["tf_efficientnet_b0.sed", "tf_efficientnetv2_s.cnn", "eca_nfnet_l0"]


def predict(build, files, manifest, env):
    out = common.WORK / "auto-engine"
    shutil.rmtree(out, ignore_errors=True)
    common.run(
        [common.whimbrel(build), "predict", *files, "--model", manifest, "--out", out, "--format=npy", "--quiet"], env=env
    )
    record = common.run_json(out)
    model, stages = record["models"][0], record["summary"]["stages"]
    rate = record["summary"]["windows"] * record["settings"]["workers"] / stages["infer_s"]
    return (model["engine"], model["batch"]), rate


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--recordings", type=int, default=2)
    options = parser.parse_args()
    common.print_machine()
    files = common.recordings(200, 600)[: options.recordings]  # of the reference job
    for name in NETWORKS:
        manifest = CASES[name](options.build)
        cache = common.WORK / "auto-engine-cache"
        shutil.rmtree(cache, ignore_errors=True)
        env = {**os.environ, "WHIMBREL_CACHE": str(cache)}
        first, first_rate = predict(options.build, files, manifest, env)
        command = [common.whimbrel(options.build), "bench", manifest, "--full", "--json"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=env)
        if done.returncode != 0:
            sys.exit(done.stderr)
        model = json.loads(done.stdout)["models"][0]
        own = [row for row in model["rows"] if row["file"] == manifest.with_suffix(".onnx").name and not row.get("error")]
        rate_of = {}
        for row in own:
            key = (row["engine"], row["batch"])
            rate_of[key] = max(rate_of.get(key, 0), row["windows_per_s"])
        best = max(rate_of.values())
        tuned, tuned_rate = predict(options.build, files, manifest, env)
        print(f"{name}: best row {best:.1f} windows/s, {max(rate_of, key=rate_of.get)}")
        for what, setting, rate in (("first run", first, first_rate), ("after bench", tuned, tuned_rate)):
            share = rate_of.get(setting, 0) / best
            print(
                f"  {what:12} {setting[0]} batch {setting[1]}: its row {share:.3f} of the best, inference {rate / best:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
