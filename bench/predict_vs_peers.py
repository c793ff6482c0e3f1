"""`whimbrel predict` against the Python pipelines a user would write: tf_efficientnet_b0, eight ten-minute OGG recordings.

Whole processes, start-up included, in turn. The peers are tools/article_pipeline.py of the shared folder with two workers; if
it is absent this bench says so and ends. It also prints how near predict comes to its own ceiling: the bare engine loop plus
the CPU time of decode and front end.
"""

import argparse
import json
import pathlib
import subprocess

from common import PYTHON, SHARED, WORK, exported, in_turn, median, print_machine, recordings, run_json, spread, whimbrel

# torchvision's registry build misses two operators beside a CPU-only torch; timm imports it, and nothing calls them.
TORCHVISION = """
import torch
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
RUN_SCRIPT = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backbone", default="tf_efficientnet_b0")
    parser.add_argument("--recordings", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=600)
    options = parser.parse_args()
    print_machine()
    pipeline = SHARED / "tools/article_pipeline.py"
    if not pipeline.exists():
        print(f"skipped: the peers are {pipeline}, which is absent (set WHIMBREL_SHARED)")
        return
    manifest = exported(options.build, options.backbone)
    model = manifest.with_suffix(".onnx")
    files = recordings(options.recordings, options.seconds)
    out = WORK / "out-predict"
    command = [whimbrel(options.build), "predict", *files, "--model", manifest, "--out", out, "--format", "kaggle", "--quiet"]
    peers = {f"article {engine}": [PYTHON, pipeline, engine, model, 2, *files] for engine in ("ort", "ort1", "openvino")}
    peers["article torch"] = [PYTHON, "-c", TORCHVISION + RUN_SCRIPT, pipeline, "torch", options.backbone, 2, *files]
    results = in_turn({"whimbrel predict": command, **peers}, options.rounds)

    record = run_json(out)
    windows = record["summary"]["windows"]
    rates = {name: [windows / r["wall_s"] for r in runs] for name, runs in results.items()}
    print(f"\n{options.backbone}, {len(files)} recordings of {options.seconds} s, {windows} windows, {options.rounds} rounds\n")
    print(f"{'pipeline':<20} {'windows/s':<24} {'wall s':<22} {'peak MB':>8}  whimbrel is")
    for name, runs in results.items():
        walls = [r["wall_s"] for r in runs]
        ratio = median(
            [theirs["wall_s"] / ours["wall_s"] for ours, theirs in zip(results["whimbrel predict"], runs, strict=True)]
        )
        print(f"{name:<20} {spread(rates[name]):<24} {spread(walls):<22} {max(r['rss_mb'] for r in runs):>8.0f}  {ratio:.2f}x")
    best = max(median(rates[name]) for name in peers if name != "article torch")
    print(f"\nagainst the best of ort, ort1, openvino: {median(rates['whimbrel predict']) / best:.2f}x", end="")
    print(f"; against torch: {median(rates['whimbrel predict']) / median(rates['article torch']):.2f}x")
    efficiency(options, manifest, files, record)


def efficiency(options, manifest, files, record):
    member = record["models"][0]
    workers = record["settings"]["workers"]
    tool = pathlib.Path(options.build).resolve() / "bench/ceiling_bench"
    command = [tool, manifest, member["engine"], member["batch"], workers, 8, *files]
    ceiling = json.loads(subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout)
    reached = record["summary"]["windows_per_s"]
    print(
        f"\nefficiency ({member['engine']}, batch {member['batch']}, {workers} workers): bare engine loop "
        f"{ceiling['bare_windows_per_s']:.1f} w/s; decode and front end {ceiling['read_cpu_s']:.2f} CPU s for "
        f"{ceiling['windows']} windows; so at best {ceiling['ceiling_windows_per_s']:.1f} w/s; predict: {reached:.1f} w/s "
        f"after its start: {reached / ceiling['ceiling_windows_per_s']:.2f} of it"
    )


if __name__ == "__main__":
    main()
