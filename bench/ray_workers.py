"""whimbrel.ray with one-core processes against the command with as many threads, on the same recordings.

Both score with one engine at batch 1 and write every score. What Ray adds once (its own start, that of processes, the opening
of the model) is told apart from what it costs while recordings are scored; the command's rate is that after its start, too.
"""

import argparse
import json
import os
import pathlib
import shutil
import sys
import time

import common

CHILD = "--child"


def child(options, files):
    """One job on a cluster of its own; prints what it took as JSON."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    begin = time.perf_counter()
    import ray
    import whimbrel.ray

    ray.init("local", num_cpus=options.workers, include_dashboard=False, object_store_memory=200 << 20, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    out = common.WORK / "ray-workers"
    shutil.rmtree(out, ignore_errors=True)
    job = {"actors": options.workers, "cpus_per_actor": 1, "engine": options.engine, "batch": 1}
    # A first job of as many recordings as processes: what a job costs before and after its recordings.
    started = time.perf_counter()
    few = whimbrel.ray.predict(files[: options.workers], options.model, out / "few", recordings_per_call=1, **job)
    warm = time.perf_counter()
    all_of_them = whimbrel.ray.predict(files, options.model, out / "all", **job)
    end = time.perf_counter()
    ray.shutdown()
    windows = all_of_them["windows"] - few["windows"]
    told = {"ray_start_s": started - begin, "few_s": warm - started, "all_s": end - warm, "windows": all_of_them["windows"]}
    print(json.dumps({**told, "rate": windows / (end - warm - (warm - started))}))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recordings", type=int, default=32)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--model", help="manifest; default: tf_efficientnet_b0, exported once")
    parser.add_argument(CHILD, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.model = str(options.model or common.exported(options.build, "tf_efficientnet_b0"))
    files = common.recordings(options.recordings, options.seconds)
    if options.child:
        child(options, files)
        return
    common.print_machine()
    out = common.WORK / "out-ray-workers"
    command = [common.whimbrel(options.build), "predict", *files, "--model", options.model, "--out", out, "--format", "npy"]
    command += ["--threads", options.workers, "--engine", options.engine, "--batch", 1, "--quiet"]
    os.environ["PYTHONPATH"] = str(pathlib.Path(options.build).resolve() / "python")
    peer = [sys.executable, __file__, CHILD, "--build", options.build, "--model", options.model, "--engine", options.engine]
    peer += ["--recordings", options.recordings, "--seconds", options.seconds, "--workers", options.workers]
    results = {"command": [], "ray": []}
    for i in range(options.rounds + 1):
        common.run(command)
        summary = common.run_json(out)["summary"]
        ray = json.loads(common.run(peer)["output"].splitlines()[-1])
        if ray["windows"] != summary["windows"]:
            sys.exit(f"ray scored {ray['windows']} windows, the command {summary['windows']}")
        if i > 0:
            results["command"].append(summary)
            results["ray"].append(ray)
    report(options, results)


def report(options, results):
    command, ray = results["command"], results["ray"]
    rates = [run["windows_per_s"] for run in command], [run["rate"] for run in ray]
    whole = [run["windows"] / run["wall_s"] for run in command], [run["windows"] / run["all_s"] for run in ray]
    print(f"{options.recordings} recordings of {options.seconds} s, {command[0]['windows']} windows, {options.workers} cores")
    print(f"{'':<34} {'windows/s after the start':<28} windows/s of the job")
    print(f"{'command, ' + str(options.workers) + ' threads':<34} {common.spread(rates[0]):<28} {common.spread(whole[0])}")
    name = f"ray, {options.workers} one-core processes"
    print(f"{name:<34} {common.spread(rates[1]):<28} {common.spread(whole[1])}")
    for what, (a, b) in {"after the start": rates, "of the job": whole}.items():
        ratio = [theirs / ours for ours, theirs in zip(a, b, strict=True)]
        print(f"ray is {common.spread(ratio)} of the command, {what}")
    starts = [run["start_s"] for run in (r["stages"] for r in command)], [run["ray_start_s"] for run in ray]
    print(f"start of the command {common.spread(starts[0])} s; import and start of Ray {common.spread(starts[1])} s")


if __name__ == "__main__":
    main()
