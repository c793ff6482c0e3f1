"""`whimbrel quantize` against ONNX Runtime's quantize_static and NNCF: same networks, same calibration windows, one table each.

Every method runs as a process of its own (time and peak memory), and its file runs in its own engine: ONNX Runtime's in ONNX
Runtime, NNCF's in OpenVINO, whimbrel's in that of its target. Latency is one window on one thread, all rows in turn in rounds;
the ratio is to the best FP32 row, round by round; above 1 is faster. Quality is over recordings that no method has seen:
top-1 and detections (F1 of scores of at least 0.5) against FP32, SQNR of the first output, macro-AUC against the truth.

    python bench/quantize_vs_peers.py --models dawn_chorus
    python bench/without_vnni.py -- .venv/bin/python bench/quantize_vs_peers.py      as on an AVX2 CPU without VNNI

A row that fails says why. Networks of the shared folder are left out where it is absent.
"""

import argparse
import dataclasses
import json
import pathlib
import time

import numpy as np
from common import PYTHON, cpu_has_vnni, engine_onnxruntime, engine_openvino, median, print_machine, run, spread, whimbrel
from quantize_models import CASES, FOLDER, case, network_inputs

TURN_S = 0.06  # how long a row runs before the next has its turn
PEERS = {"ORT quantize_static U8S8": "ort", "NNCF performance": "nncf-performance", "NNCF mixed": "nncf-mixed"}


@dataclasses.dataclass
class Row:
    """A line of the table: a file, its engine, and how it was made."""

    name: str
    engine: str
    path: pathlib.Path
    made: dict | None = None  # of common.run
    failure: str = ""
    verdict: str = ""
    run: object = None  # x -> outputs
    first: np.ndarray | None = None  # [windows, classes], the first output over the scoring windows
    times_ms: list = dataclasses.field(default_factory=list)

    def load(self, shape):
        if not self.failure:
            try:
                self.run = engine_openvino(self.path, shape) if self.engine == "openvino" else engine_onnxruntime(self.path)
                self.run(np.zeros(shape, np.float32))
            except Exception as error:  # whatever an engine throws is this row's result
                self.run, self.failure = None, f"{self.engine} cannot run its file: {' '.join(str(error).split())[:300]}"

    def size_mb(self):
        weights = self.path.with_suffix(".bin")
        return sum(p.stat().st_size for p in {self.path, weights} if p.suffix != ".bin" or self.path.suffix == ".xml") / 1e6


def quantized_by_peers(test, windows, folder):
    np.save(folder / "windows.npy", windows)
    for name, method in PEERS.items():
        engine, ending = ("onnxruntime", "onnx") if method == "ort" else ("openvino", "xml")
        out = folder / f"{method}.{ending}"
        command = [
            PYTHON,
            pathlib.Path(__file__).with_name("quantize_peer.py"),
            method,
            test.model,
            folder / "windows.npy",
            out,
        ]
        made = run(command, check=False)
        yield Row(name, engine, out, made, made["failure"])


def quantized_by_whimbrel(test, options, samples, folder):
    for target, ending in (("onnxruntime", "onnx"), ("openvino", "xml")):
        out, report = folder / f"whimbrel-{target}.{ending}", folder / f"whimbrel-{target}.json"
        report.unlink(missing_ok=True)
        command = [whimbrel(options.build), "quantize", test.manifest, "--calibrate", *test.calibration, "-o", out]
        command += ["--target", target, "--samples", samples, "--report", report, "--json"]
        command += ["--truth", test.calibration_truth()] if test.truth else []
        command += ["--max-drop", options.max_drop, *options.quantize]
        made = run(command, check=False)
        row = Row(f"whimbrel {target}", target, out, made, made["failure"])
        if report.exists():
            row.verdict = verdict_text(json.loads(report.read_text()))
        if not row.failure and not out.exists():
            row.failure = "no file written"
        yield row


def verdict_text(report):
    verdict = report.get("verdict", "the report has no verdict")
    if isinstance(verdict, dict):
        verdict = verdict.get("text") or json.dumps(verdict)
    return str(verdict)


def measure(rows, inputs, rounds):
    """Fills times_ms: in every round each row that runs has its turn, the first inference of which does not count."""
    rows = [r for r in rows if r.run]
    inputs = [np.ascontiguousarray(x[None]) for x in inputs[:16]]
    for i in range(rounds + 1):
        for row in rows[i % len(rows) :] + rows[: i % len(rows)]:
            row.run(inputs[0])
            times, end = [], time.perf_counter() + TURN_S
            while len(times) < 3 or time.perf_counter() < end:
                begin = time.perf_counter()
                row.run(inputs[len(times) % len(inputs)])
                times.append(1e3 * (time.perf_counter() - begin))
            if i > 0:
                row.times_ms.append(median(times))


def scores(logits, output):
    clip = output.get("logit_clip", 0)
    if clip:
        logits = np.clip(logits, -clip, clip)
    if output.get("activation", "sigmoid") == "softmax":
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        return shifted / shifted.sum(1, keepdims=True)
    return logits if output.get("activation") == "none" else 1 / (1 + np.exp(-logits))


def macro_auc(values, truth):
    """The share of (present, absent) pairs ranked rightly, ties counted half; the mean over classes that have both."""
    aucs = []
    for c in range(truth.shape[1]):
        present, absent = values[truth[:, c] == 1, c], np.sort(values[truth[:, c] == 0, c])
        if len(present) and len(absent):
            below = np.searchsorted(absent, present, "left") + np.searchsorted(absent, present, "right")
            aucs.append(below.mean() / (2 * len(absent)))
    return float(np.mean(aucs))


def detections_f1(ours, theirs):
    ours, theirs = ours >= 0.5, theirs >= 0.5
    found = ours.sum() + theirs.sum()
    return 2 * (ours & theirs).sum() / found if found else float("nan")


def sqnr_db(ours, theirs):
    noise = ((ours.astype(np.float64) - theirs) ** 2).sum()
    return 10 * np.log10((theirs.astype(np.float64) ** 2).sum() / noise) if noise > 0 else float("inf")


def quality(row, reference, output, truth):
    """{column: value}; top-1, detections and AUC only of trained networks."""
    found = {"sqnr_db": sqnr_db(row.first, reference)}
    if truth is not None:
        ours, theirs = scores(row.first, output), scores(reference, output)
        found["top1"] = float((ours.argmax(1) == theirs.argmax(1)).mean())
        found["f1"] = detections_f1(ours, theirs)
        found["auc"] = macro_auc(row.first, truth)
    return found


def print_table(rows, results, best):
    head = f"{'row':<26} {'ms, one window':<22} {'x best FP32':<20} {'top-1':>6} {'det F1':>6} {'SQNR':>6} {'AUC':>7}"
    print(f"{head} {'MB':>6} {'made in s':>9} {'peak MB':>7}")
    for row in rows:
        made = f"{row.made['wall_s']:>9.1f} {row.made['rss_mb']:>7.0f}" if row.made else f"{'':>9} {'':>7}"
        if row.failure:
            print(f"{row.name:<26} failed: {row.failure}")
            continue
        ratios = [theirs / ours for ours, theirs in zip(row.times_ms, best.times_ms, strict=True)]
        q = results[row.name]
        cells = [f"{row.name:<26} {spread(row.times_ms):<22} {spread(ratios):<20}"]
        cells += [f"{100 * q['top1']:>5.1f}%" if "top1" in q else f"{'-':>6}", f"{q['f1']:>6.3f}" if "f1" in q else f"{'-':>6}"]
        cells += [f"{q['sqnr_db']:>6.1f}", f"{q['auc']:>7.4f}" if "auc" in q else f"{'-':>7}", f"{row.size_mb():>6.1f}", made]
        print(" ".join(cells))
    for row in rows:
        if row.verdict:
            print(f"verdict, {row.name}: {row.verdict}")


def print_comparison(rows, results, best, max_drop):
    """whimbrel's fastest against the fastest of the others that keeps the score, FP32 among them."""
    alive = [r for r in rows if not r.failure]
    floor = results[best.name].get("auc", 0) - max_drop
    kept = [r for r in alive if results[r.name].get("auc", 0) >= floor]
    ours = min((r for r in kept if r.name.startswith("whimbrel")), key=lambda r: median(r.times_ms), default=None)
    theirs = min((r for r in kept if not r.name.startswith("whimbrel")), key=lambda r: median(r.times_ms))
    what = f"macro-AUC at most {max_drop} below FP32" if "auc" in results[best.name] else "any quality"
    print(f"fastest without whimbrel ({what}): {theirs.name}, {median(theirs.times_ms):.2f} ms")
    if ours:
        ratios = [a / b for a, b in zip(theirs.times_ms, ours.times_ms, strict=True)]
        print(f"fastest of whimbrel: {ours.name}, {median(ours.times_ms):.2f} ms: {spread(ratios)}x of it")


def compare(test, options):
    folder = FOLDER / test.name / ("vnni" if cpu_has_vnni() else "no-vnni")
    folder.mkdir(parents=True, exist_ok=True)
    calibration, inputs = (network_inputs(test.manifest, paths) for paths in (test.calibration, test.scoring))
    truth = test.truth_of(test.scoring) if test.truth else None
    seconds = f"{len(calibration)} windows calibrate, {len(inputs)} others score, {options.rounds} rounds"
    print(f"\n{test.name}, input {list(inputs.shape[1:])}: {seconds}\n", flush=True)
    rows = [Row("FP32 ONNX Runtime", "onnxruntime", test.model), Row("FP32 OpenVINO", "openvino", test.model)]
    rows += quantized_by_peers(test, calibration, folder)
    rows += quantized_by_whimbrel(test, options, len(calibration), folder)
    results = {}
    for row in rows:
        row.load((1, *inputs.shape[1:]))
        if row.run:
            row.first = np.concatenate([row.run(x[None])[0] for x in inputs])
            results[row.name] = quality(row, rows[0].first, test.settings.get("output", {}), truth)
    measure(rows, inputs, options.rounds)
    if truth is not None:
        heard = (scores(rows[0].first, test.settings.get("output", {})) >= 0.5).sum()
        print(f"(detections of FP32: {heard}; true labels: {truth.sum()})\n")
    best = min(rows[:2], key=lambda r: median(r.times_ms))
    print_table(rows, results, best)
    print_comparison(rows, results, best, options.max_drop)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--models", help=f"comma-separated, of {', '.join(CASES)}")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--max-drop", type=float, default=0.005, help="of macro-AUC; goes to whimbrel quantize too")
    parser.add_argument("--quantize", nargs=argparse.REMAINDER, default=[], help="further words for whimbrel quantize; last")
    parser.add_argument("--quick", action="store_true", help="the small networks, few windows, few rounds")
    options = parser.parse_args()
    names = options.models.split(",") if options.models else list(CASES)
    if options.quick:
        options.rounds = min(options.rounds, 4)
        names = names if options.models else names[:2]
    if unknown := set(names) - set(CASES):
        parser.error(f"unknown models {', '.join(sorted(unknown))}; expected some of {', '.join(CASES)}")
    print_machine()
    for name in names:
        test = case(name, options.build, options.quick)
        if test is None:
            print(f"\n{name}: skipped, it needs the shared folder (set WHIMBREL_SHARED)")
            continue
        compare(test, options)


if __name__ == "__main__":
    main()
