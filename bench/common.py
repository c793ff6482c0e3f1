"""What the benches share: the machine, the models and recordings they use, and timing of whole processes in turn."""

import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv/bin/python"
SHARED = pathlib.Path(os.environ.get("WHIMBREL_SHARED", ROOT.parent / "shared"))
WORK = ROOT / "build/bench"


def whimbrel(build):
    return str(pathlib.Path(build).resolve() / "whimbrel")


def without_vnni():
    """Does this process run under bench/without_vnni.py?"""
    return "WHIMBREL_CPUID_TABLE" in os.environ


def cpu_has_vnni():
    """Of the CPU as the engines of this process see it."""
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    return not without_vnni() and ("avx512_vnni" in flags or "avx_vnni" in flags)


def machine():
    facts = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in facts if line.startswith("model name")), "?")
    flags = next((line for line in facts if line.startswith("flags")), "") + " "
    isa = [f for f in ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8") if f" {f} " in flags]
    if without_vnni():
        isa = ["avx2", "(AVX-512 and VNNI masked by bench/without_vnni.py)"]
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    return f"{cpu}, {cores} cores, {' '.join(isa)}, {platform.platform()}, load {load:.1f}, {time.strftime('%Y-%m-%d')}"


def print_machine():
    print(f"machine: {machine()}", flush=True)


def front_end(hop_samples=512, f_min_hz=20):
    """The front end of tools/article_pipeline.py: 5 s at 32 kHz -> [3, 128, 313]."""
    return f"""[input]
kind = "mel"
sample_rate_hz = 32000
window_s = 5.0
hop_s = 5.0
channels = 3
[input.mel]
n_fft = 2048
win_length = 2048
hop_samples = {hop_samples}
n_mels = 128
f_min_hz = {f_min_hz}
f_max_hz = 16000
scale = "slaney"
norm = "slaney"
power = 2.0
center = true
pad = "reflect"
level = "db"
ref = "one"
amin = 1e-10
top_db = 80.0
normalize = "minmax"
"""


def exported(build, backbone, classes=264):
    """Manifest of a timm network with random weights, exported once."""
    folder = WORK / "models" / backbone
    manifest = folder / f"{backbone}.toml"
    if not manifest.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "fe.toml").write_text(front_end())
        (folder / "classes.txt").write_text("".join(f"class_{i:03}\n" for i in range(classes)))
        command = [whimbrel(build), "export", f"timm:{backbone}", "--num-classes", str(classes)]
        command += ["--front-end", str(folder / "fe.toml"), "--labels", str(folder / "classes.txt"), "-o", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return manifest


def recordings(count, seconds, fmt="ogg"):
    """Synthesized dawn-chorus recordings, made once."""
    folder = WORK / f"recordings-{count}x{seconds}s-{fmt}"
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        command = [PYTHON, ROOT / "examples/dawn_chorus/synthesize.py", "--recordings", str(count), "--seconds", str(seconds)]
        subprocess.run([*command, "--seed", "4242", "--formats", fmt, "-o", partial], check=True, stdout=subprocess.DEVNULL)
        partial.rename(folder)
    return sorted(str(p) for p in folder.glob(f"*.{fmt}"))


# A small process between this one and the measured one: peak RSS begins with that of the process that was forked.
LAUNCHER = """
import json, os, sys, time
begin = time.perf_counter()
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
wall = time.perf_counter() - begin
measured = {"wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime, "rss_mb": usage.ru_maxrss / 1024}
open(sys.argv[1], "w").write(json.dumps(measured))
code = os.waitstatus_to_exitcode(status)
sys.exit(code if code >= 0 else 128 - code)
"""


def run(command, env=None, check=True):
    """Runs one whole process. Returns wall and CPU seconds, peak RSS in MB, its output, and why it failed (else "").

    With check a failure ends the bench.
    """
    env = {
        **(env or os.environ),
        "ORT_DISABLE_TELEMETRY": "1",
    }  # the wheel reports over the network otherwise; whimbrel turns it off too
    with tempfile.NamedTemporaryFile("r") as usage, tempfile.TemporaryFile("w+") as errors:
        launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, usage.name, *map(str, command)]
        process = subprocess.run(launcher, stdout=subprocess.PIPE, stderr=errors, text=True, env=env)
        errors.seek(0)
        lines = [line.strip() for line in errors if line.strip()]
        measured = json.loads(usage.read() or "{}")
    failure = "" if process.returncode == 0 else f"exit code {process.returncode}: {lines[-1] if lines else 'no message'}"
    if failure and check:
        sys.exit(f"{' '.join(map(str, command))}: {failure}")
    return {**measured, "output": process.stdout, "failure": failure}


def in_turn(commands, rounds):
    """{name: [run, ...]}: every command once a round, so that a drift of the machine meets all alike. One round warms up."""
    results = {name: [] for name in commands}
    for i in range(rounds + 1):
        for name, command in commands.items():
            result = run(command)
            if i > 0:
                results[name].append(result)
    return results


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def median(values):
    return statistics.median(values)


def run_json(folder):
    return json.loads((pathlib.Path(folder) / "run.json").read_text())


def engine_onnxruntime(model):
    """Path or bytes -> f(x) giving the outputs in order; set as whimbrel sets it: one thread, no spinning."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})


def engine_openvino(model, shape=None):
    """As above for OpenVINO: FP32 where the model is, one stream, one thread, no pinning. shape replaces a free batch axis."""
    import openvino

    core = openvino.Core()
    network = core.read_model(model if isinstance(model, bytes) else str(model))
    if shape is not None:
        network.reshape(list(shape))
    settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": "1"}
    settings |= {"ENABLE_CPU_PINNING": "NO", "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(network, "CPU", settings).create_infer_request()

    def run(x):
        request.infer([x], share_inputs=True)
        return [tensor.data.copy() for tensor in request.output_tensors]

    return run
