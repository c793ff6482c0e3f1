"""What `whimbrel report` reads, made up: a run of recordings with calls, a bench, a plan, a certificate."""

import base64
import html.parser
import json

import numpy as np
import soundfile

RATE_HZ = 16000
SECONDS = 20
LABELS = ["Parus major_Great Tit", "Poecile atricapillus_Black-capped Chickadee", "noise"]
HOSTILE_LABEL = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
HOSTILE_FILE = "\"'><svg onload=window.hacked=1><!-- <a href='javascript:window.hacked=1'>.wav"


def write_recording(path, seed, seconds=SECONDS):
    """Noise with a tone every five seconds."""
    rng = np.random.default_rng(seed)
    t = np.arange(seconds * RATE_HZ) / RATE_HZ
    tone = 0.3 * np.sin(2 * np.pi * (2000 + 300 * seed) * t) * ((t % 5) < 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, (tone + 0.01 * rng.standard_normal(len(t))).astype(np.float32), RATE_HZ, format="WAV")


def recording(path, **more):
    facts = {"decoded_s": float(SECONDS), "sample_rate_hz": RATE_HZ, "channels": 1, "codec": "WAV/PCM_16"}
    return {"path": str(path), "state": "done", "windows": SECONDS // 5, **facts, **more}


def run_record(recordings, **more):
    """run.json as predict writes it, with everything that a page can show."""
    states = [r["state"] for r in recordings]
    counts = {state: states.count(state) for state in ("done", "partial", "failed", "cancelled")}
    stages = {"start_s": 0.4, "decode_s": 1.0, "front_end_s": 0.5, "infer_s": 6.0, "write_s": 0.1, "wait_s": 0.4}
    timeline = {"bucket_s": 0.5} | {key: [value / 8] * 8 for key, value in stages.items() if key != "start_s"}
    summary = {"recordings": len(recordings), **counts, "windows": 4 * len(recordings), "rows_filled": 0, "wall_s": 4.4}
    summary |= {"cpu_s": 8.0, "windows_per_s": 10.0, "peak_rss_bytes": 10**8, "stopped_early": False}
    model = {"name": "small", "file": "small.onnx", "engine": "onnxruntime", "engine_version": "1", "batch": 4, "weight": 1.0}
    return {
        "whimbrel": "0.1.0",
        "cpu": {"model": "CPU", "isa": ["avx2"], "cores_online": 2, "cores_allowed": 2, "integer_path": "avx2"},
        "settings": {"engine": "auto", "workers": 2, "formats": ["jsonl"], "threshold": 0.25, "top_k": 0, "mean": "arithmetic"},
        "models": [model | {"probe_difference": 1e-6, "rows_independent": True}],
        "summary": summary | {"stages": stages, "timeline": timeline},
        "recordings": recordings,
        **more,
    }


def detection_lines(path, labels=LABELS, seconds=SECONDS):
    """(file, start_s, end_s, label, score): one in each window, two in the first."""
    rows = [(str(path), 5.0 * i, 5.0 * i + 5, labels[i % len(labels)], 0.9 - 0.1 * (i % 5)) for i in range(seconds // 5)]
    return [rows[0], (str(path), 0.0, 5.0, labels[1], 0.5), *rows[1:]]


def jsonl(rows):
    keys = ("file", "start_s", "end_s", "label", "confidence")
    return "".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in rows)


def write_run(folder, names, labels=LABELS, **more):
    """A run's folder `folder`/run over recordings `folder`/field/NAME; one more recording failed. Returns the run's folder."""
    paths = [folder / "field" / name for name in names]
    for seed, path in enumerate(paths):
        write_recording(path, seed)
    failed = {"path": str(folder / "field/broken.wav"), "state": "failed", "windows": 0, "error": "no audio file"}
    run = folder / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps(run_record([*(recording(p) for p in paths), failed], **more)))
    (run / "detections.jsonl").write_text(jsonl(row for path in paths for row in detection_lines(path, labels)))
    return run


def bench():
    def row(form, engine, batch, speed, **more):
        facts = {"form": form, "file": ("a.onnx", "a-int8.onnx")[form], "engine": engine, "precision": ("fp32", "int8")[form]}
        facts |= {"batch": batch, "workers": 2, "windows_per_s": speed, "windows_per_s_low": 0.9 * speed}
        facts |= {"windows_per_s_high": 1.1 * speed, "latency_p50_ms": 9.0 * batch, "latency_p90_ms": 10.0 * batch}
        facts |= {"latency_p99_ms": 12.0 * batch, "start_s": 0.2, "first_inference_s": 0.01, "peak_rss_bytes": 9e7}
        return facts | {"peak_share": 0.4, "max_difference": 0.0, "sqnr_db": None, "top1": 1.0} | more

    dead = {
        "form": 0,
        "file": "a.onnx",
        "engine": "torchscript",
        "precision": "fp32",
        "batch": 1,
        "workers": 2,
        "error": "died",
    }
    forms = [
        {
            "file": f"a{more}.onnx",
            "name": f"a{more}",
            "precision": p,
            "file_bytes": size,
            "parameters": 4_000_000,
            "macs": 10**8,
        }
        for more, p, size in (("", "fp32", 16e6), ("-int8", "int8", 5e6))
    ]
    rows = [row(0, "onnxruntime", 1, 100), row(0, "openvino", 4, 120), row(1, "onnxruntime", 1, 170, sqnr_db=24.5), dead]
    model = {
        "name": "a",
        "best": 2,
        "ranking": "a is ahead",
        "reference": 0,
        "compared_on": "noise",
        "forms": forms,
        "rows": rows,
    }
    cpu = {
        "model": "CPU",
        "cores_online": 2,
        "cores_allowed": 2,
        "integer_path": "avx2",
        "fma_per_s": 1e11,
        "integer_per_s": 4e11,
    }
    cpu |= {"integer_loop": "avx2", "unsteadiness": 0.02, "steady": True}
    return {"format": 1, "cpu": cpu, "engines": {"onnxruntime": "1"}, "rounds": 9, "seconds_a_row": 4, "models": [model]}


PLAN = """[plan]
whimbrel = "0.1.0"
created = "2026-01-01T00:00:00Z"
cpu = "CPU"
cores = 2
metric = "macro_roc_auc"
budget_s = 7200
workload_windows = 24000
workload_s = 120000
expected_wall_s = 5400.5
wall_margin_s = 270
expected_score = 0.91
score_low = 0.89
score_high = 0.93
method = "cascade"
best_single_score = 0.88
best_equal_score = 0.90
best_weighted_score = 0.905
best_cascade_score = 0.91
[[member]]
model = "a.toml"
name = "a"
hash = "0"
engine = "onnxruntime"
precision = "int8"
batch = 4
weight = 2
cost_s = 0.002
gain = 0.01
[[member]]
model = "b.toml"
name = "b"
hash = "1"
engine = "openvino"
precision = "fp32"
batch = 1
weight = 1
cost_s = 0.02
gain = 0.03
[cascade]
gate = 0
threshold = 0.3
slope = 1.0
offset = 0.0
expected_share = 0.2
[[pareto]]
wall_s = 600
score = 0.88
members = ["a"]
[[pareto]]
wall_s = 5400
score = 0.915
members = ["a", "b"]
"""


def certificate():
    products = [
        {"name": f"conv{i}", "type": "Conv", "macs": 10**6, "integer": i != 2, "kernel": "" if i == 2 else "vnni"}
        | {"fp32_ms": 0.2 + 0.1 * i, "int8_ms": 0.1 + 0.05 * i}
        | ({"why_float": "its block is faster in float"} if i == 2 else {})
        for i in range(6)
    ]
    speed = {"fp32_ms": 5.8, "int8_ms": 4.0, "ratio": 1.45, "ratio_low": 1.42, "ratio_high": 1.48}
    speed |= {"fp32_windows_per_s": 180.0, "int8_windows_per_s": 280.0, "throughput_ratio": 1.53}
    facts = {"verdict": "INT8 1.45x (1.42..1.48) on this CPU, top-1 agreement 99.1 %", "keep_fp32": False}
    facts |= {"engine": "onnxruntime", "fp32_engine": "openvino", "isa": "native", "observer": "mse", "cpu": "CPU"}
    facts |= {"observers_of_blocks": {"mse": 2}, "integer_path": "avx2", "calibration_windows": 90, "certification_windows": 80}
    facts |= {"top1_agreement": 0.99, "top1_agreement_confident": 1.0, "confident_windows": 30, "detections_f1": 0.98}
    facts |= {"max_drop": 0.02, "drop": 0.009, "sqnr_db": {"clip": 24.9, "frames": None}, "speed": speed}
    blocks = [{"products": ["conv0", "conv1"], "time_ratio": 0.9, "noise_share": 0.4}]
    more = {"integer_macs_share": 0.9, "narrowed_channels": 0, "step_s": {"calibrate": 2.9}}
    return facts | more | {"products": products, "blocks": blocks}


class Page(html.parser.HTMLParser):
    """What a browser would make of a page: elements with attributes, the text of each script."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.tags, self.scripts, self.text = [], {}, ""
        self.script = None
        self.text = path.read_text("utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.script = (dict(attributes).get("id") or len(self.scripts)) if tag == "script" else None

    def handle_endtag(self, tag):
        self.script = None

    def handle_data(self, data):
        if self.script is not None:
            self.scripts[self.script] = self.scripts.get(self.script, "") + data

    @property
    def data(self):
        return json.loads(self.scripts["data"])

    def media(self, name):
        return base64.b64decode(self.scripts[name])


def write_empty_run(folder):
    """(folder, run.json, detections) of a run of one recording that holds no output yet."""
    record = run_record([recording("field/a.wav")])
    (folder / "run.json").write_text(json.dumps(record))
    rows = [(f, s, e, label, round(score, 4)) for f, s, e, label, score in detection_lines("field/a.wav")]
    return folder, record, rows
