"""Plans against what people choose by hand, and a cascade against its full ensemble, on recordings that no choice has seen.

Planning sees the first half of the trained networks' recordings, scoring the second half. For each budget: macro ROC-AUC of
the planned ensemble, of the best single model that fits and of the best equal-weight ensemble that fits (both chosen on the
planning half, as a careful user would), and the planned wall time against the actual one.

The cascade's recordings are made of windows of the same halves: one in ten with calls, the rest without.
"""

import argparse
import csv
import itertools
import json
import pathlib
import shutil
import subprocess
import sys
import tomllib

import common
import numpy as np
import soundfile
from quantize_models import CASES
from sklearn.metrics import roc_auc_score

NETWORKS = ["tf_efficientnet_b0.sed", "tf_efficientnetv2_s.cnn"]
RATE = 32000
WINDOW_S = 5


def command(build, *words, ok=(0,)):
    done = subprocess.run([common.whimbrel(build), *map(str, words)], capture_output=True, text=True)
    if done.returncode not in ok:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


def truth_table():
    with (common.SHARED / "data/dawn/truth.csv").open() as file:
        rows = list(csv.reader(file))
    return rows[0][1:], {row[0]: [int(v) for v in row[1:]] for row in rows[1:]}


def write_truth(path, classes, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["row_id", *classes], *([row, *values] for row, values in rows.items())])
    return path


def macro_auc(scores, truth):
    scored = [c for c in range(truth.shape[1]) if 0 < truth[:, c].sum() < len(truth)]
    return float(np.mean([roc_auc_score(truth[:, c], scores[:, c]) for c in scored]))


def predict(build, files, words, out):
    """Scores by row id, and run.json."""
    shutil.rmtree(out, ignore_errors=True)
    common.run([common.whimbrel(build), "predict", *files, *words, "--out", out, "--format=kaggle", "--quiet"])
    with (out / "submission.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    return {row[0]: [float(v) for v in row[1:]] for row in rows}, common.run_json(out)


def matrix(scores, truth):
    return np.array([scores[row] for row in truth])


def int8_of(build, manifest, files):
    """Quantizes once, beside the model, where plan finds it."""
    out = manifest.parent / f"{manifest.stem}-int8.onnx"
    if not out.with_suffix(".toml").exists():
        command(build, "quantize", manifest, "--calibrate", *files, "-o", out)
    return out.with_suffix(".toml")


def compare(build, work, halves, classes, truths):
    planning, held_out = halves
    truth_file = write_truth(work / "planning.csv", classes, truths[0])
    held_truth = np.array(list(truths[1].values()))
    manifests = [CASES[name](build) for name in NETWORKS]
    int8 = [int8_of(build, manifest, planning[:4]) for manifest in manifests]
    words = itertools.chain.from_iterable(("--model", m) for m in manifests)
    words = [*words, "--validation", *planning, "--truth", truth_file, "--workload", "200x10min", "-o", work / "plan.toml"]
    first = json.loads(command(build, "plan", *words, "--budget", "1000h", "--json"))
    costs = {c["name"]: c for c in first["candidates"]}
    names = list(costs)
    by_name = {common_name(m): m for m in [*manifests, *int8]}
    planning_truth = np.array(list(truths[0].values()))
    scores = {}
    for name in names:
        model = ["--model", by_name[name], "--engine", costs[name]["engine"]]
        scores[name] = [
            matrix(predict(build, files, model, work / "out")[0], truth)
            for files, truth in zip(halves, (truths[0], truths[1]), strict=True)
        ]
    print("candidates (alone on 200 ten-minute recordings, planning half, held out):")
    for name in names:
        c = costs[name]
        print(
            f"  {name:34} {c['engine']:12} batch {c['batch']}  {1000 * c['cost_s']:6.2f} ms  {c['wall_s']:7.0f} s  "
            f"{macro_auc(scores[name][0], planning_truth):.4f}  {macro_auc(scores[name][1], held_truth):.4f}"
        )

    def wall_s(members):
        return sum(costs[m]["wall_s"] for m in members)  # counts decoding and start too often: equal weights are never refused

    walls = sorted(c["wall_s"] for c in costs.values())
    budgets = [1.15 * walls[0], 1.15 * walls[1], 1.15 * sum(walls[:2]), 1.15 * walls[-1], 1.3 * sum(walls)]
    print(f"{'budget':>8}  {'planned':>8} {'single':>8} {'equal':>8}  {'expected':>8} {'actual':>8}   members")
    for budget_s in sorted(budgets):
        answer = command(build, "plan", *words, "--budget", f"{budget_s:.1f}s", "--json", ok=(0, 2))
        if "plan" not in json.loads(answer):
            print(f"{budget_s:7.0f}s  nothing fits any more: the machine has become slower since the costs were taken")
            continue
        plan = json.loads(answer)["plan"]
        got, record = predict(build, held_out, ["--plan", work / "plan.toml"], work / "out")
        planned = macro_auc(matrix(got, truths[1]), held_truth)
        fitting = [n for n in names if costs[n]["wall_s"] <= budget_s]
        single = max(fitting, key=lambda n: macro_auc(scores[n][0], planning_truth))
        sets = [s for k in range(1, len(names) + 1) for s in itertools.combinations(names, k) if wall_s(s) <= budget_s]
        equal = max(sets, key=lambda s: macro_auc(np.mean([scores[n][0] for n in s], 0), planning_truth))
        equal_auc = macro_auc(np.mean([scores[n][1] for n in equal], 0), held_truth)
        running_s = record["summary"]["wall_s"] - record["summary"]["stages"]["start_s"]
        expected_s = plan["expected_wall_s"] * record["summary"]["windows"] / plan["workload_windows"]
        print(
            f"{budget_s:7.0f}s  {planned:8.4f} {macro_auc(scores[single][1], held_truth):8.4f} {equal_auc:8.4f}  "
            f"{expected_s:7.2f}s {running_s:7.2f}s   "
            + ", ".join(f"{m['weight']:g} x {m['name']}" for m in plan["members"])
            + (f", cascade ({plan['cascade']['expected_share']:.0%} pass)" if plan["cascade"] else ""),
            flush=True,
        )


def common_name(manifest):
    return tomllib.loads(manifest.read_text())["model"].get("name", manifest.stem)


def sparse(folder, files, truths, minutes, seed):
    """Recordings with calls in every tenth window, made of windows of real ones, and their truth."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    calls, empty = [], []
    for path in files:
        samples, rate = soundfile.read(path, dtype="float32")
        assert rate == RATE
        stem = pathlib.Path(path).stem
        for i in range(len(samples) // (RATE * WINDOW_S)):
            values = truths[f"{stem}_{WINDOW_S * (i + 1)}"]
            window = samples[i * RATE * WINDOW_S : (i + 1) * RATE * WINDOW_S]
            (calls if any(values) else empty).append((window, values))
    per_file = minutes * 60 // WINDOW_S
    order = random.permutation(len(calls))
    truth, paths, used = {}, [], 0
    for r in range(len(calls) * 10 // per_file):
        parts = []
        for i in range(per_file):
            if i % 10 == 7:
                window, values = calls[order[used]]
                used += 1
            else:  # an empty window at another level is another empty window
                window, values = empty[random.integers(len(empty))]
                window = window * np.float32(random.uniform(0.5, 1.0))
            parts.append(window)
            truth[f"sparse_{seed}{r:02}_{WINDOW_S * (i + 1)}"] = values
        path = folder / f"sparse_{seed}{r:02}.wav"
        soundfile.write(path, np.concatenate(parts), RATE, subtype="PCM_16")
        paths.append(path)
    return paths, truth


def cascade(build, work, halves, classes, truths):
    planning, planning_truth = sparse(work / "sparse-planning", halves[0], truths[0], 10, 1)
    held_out, held_truth = sparse(work / "sparse-held-out", halves[1], truths[1], 10, 2)
    truth_file = write_truth(work / "sparse.csv", classes, planning_truth)
    words = []
    for name in NETWORKS:
        words += ["--model", CASES[name](build)]
    words += ["--validation", *planning, "--truth", truth_file, "--workload", "200x10min", "--budget", "1000h", "--json"]
    full = json.loads(command(build, "plan", *words, "--cascade", "never", "-o", work / "full.toml"))["plan"]
    gated = json.loads(command(build, "plan", *words, "--cascade", "always", "-o", work / "gated.toml"))["plan"]
    equal = ["--model", CASES[NETWORKS[0]](build), "--model", CASES[NETWORKS[1]](build)]
    print(f"calls in 10 % of the windows; {len(planning_truth)} windows to plan on, {len(held_truth)} held out")
    print(f"{'what':34} {'windows/s':>10} {'held out':>9} {'expected':>9}   members")
    cases = {
        "both networks in full (FP32)": (equal, None),
        "planned, no cascade": (["--plan", work / "full.toml"], full),
        "planned cascade": (["--plan", work / "gated.toml"], gated),
    }
    rates = {name: [] for name in cases}
    for turn in range(3):
        for name, (model, plan) in cases.items():
            got, record = predict(build, held_out, model, work / "out")
            rates[name].append(record["summary"]["windows_per_s"])
            if turn < 2:
                continue
            auc = macro_auc(matrix(got, held_truth), np.array(list(held_truth.values())))
            expected = f"{plan['expected_score']:9.4f}" if plan else " " * 9
            members = ", ".join(f"{m['weight']:g} x {m['name']}" for m in plan["members"]) if plan else "1 x each"
            share = f"; {plan['cascade']['expected_share']:.0%} pass" if plan and plan["cascade"] else ""
            print(f"{name:34} {common.median(rates[name]):10.1f} {auc:9.4f} {expected}   {members}{share}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--only", choices=["plan", "cascade"])
    options = parser.parse_args()
    common.print_machine()
    if not (common.SHARED / "models/dawn_models.py").exists():
        print(f"skipped: {common.SHARED / 'models'} is not there")
        return
    work = common.WORK / "plan"
    work.mkdir(parents=True, exist_ok=True)
    files = sorted(str(p) for p in (common.SHARED / "data/dawn").glob("*.ogg"))
    halves = files[: len(files) // 2], files[len(files) // 2 :]
    classes, truth = truth_table()
    stems = [{pathlib.Path(p).stem for p in half} for half in halves]
    truths = [{row: v for row, v in truth.items() if row.rsplit("_", 1)[0] in half} for half in stems]
    if options.only != "cascade":
        compare(options.build, work, halves, classes, truths)
    if options.only != "plan":
        cascade(options.build, work, halves, classes, truths)


if __name__ == "__main__":
    main()
