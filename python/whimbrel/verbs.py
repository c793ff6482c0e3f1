"""The verbs of the command, as functions: each runs `whimbrel VERB --json` and returns its object.

They are processes of their own because they measure: what else this Python holds must not count. Ctrl-C ends them cleanly.
"""

import json
import os
import signal
import subprocess
import tempfile
import threading

from ._program import program
from .errors import Error


def quantize(
    model,
    output,
    calibrate,
    *,
    certify=None,
    target=None,
    isa=None,
    observer=None,
    samples=None,
    keep=None,
    max_drop=None,
    truth=None,
    threshold=None,
    threads=None,
    report=None,
    callback=None,
) -> dict:
    """FP32 ONNX -> INT8 for this CPU, certified on recordings. Options are those of `whimbrel quantize`.

    @param calibrate  recordings, folders or "@list.txt": what the model will hear
    @param callback   called with a line at each step
    @return           the certificate, as docs/quantization.md describes it
    @throws Error     as the command; its code is the command's
    """
    words = {
        "calibrate": calibrate,
        "certify": certify,
        "output": output,
        "target": target,
        "isa": isa,
        "observer": observer,
        "samples": samples,
        "keep": keep,
        "max_drop": max_drop,
        "truth": truth,
        "threshold": threshold,
        "threads": threads,
        "report": report,
    }
    return run_verb("quantize", [model], words, callback)


def bench(
    models, *, full=False, engine=None, batch=None, threads=None, seconds=None, recordings=None, csv=None, callback=None
) -> dict:
    """Speed, memory and agreement of models in every engine, precision and batch. Options are those of `whimbrel bench`.

    @param models   a manifest or model file, or a list of them
    @param seconds  that each row is measured for
    @return         what docs/bench.md describes
    """
    words = {
        "full": full,
        "engine": engine,
        "batch": batch,
        "threads": threads,
        "seconds": seconds,
        "recordings": recordings,
        "csv": csv,
    }
    return run_verb("bench", listed(models), words, callback)


def plan(
    models,
    *,
    validation,
    truth,
    budget,
    workload,
    output="plan.toml",
    metric=None,
    cores=None,
    cascade=None,
    max_loss=None,
    callback=None,
) -> dict:
    """Chooses the ensemble that scores best inside a time budget and writes `output`. Options are those of `whimbrel plan`.

    @param budget    "2h", "90min", or seconds
    @param workload  recordings to come, or so many of one length: "200x10min"
    @return          "plan", "candidates" and how they were measured: docs/planning.md
    """
    words = {
        "model": models,
        "validation": validation,
        "truth": truth,
        "budget": budget,
        "workload": workload,
        "output": output,
        "metric": metric,
        "cores": cores,
        "cascade": cascade,
        "max_loss": max_loss,
    }
    return run_verb("plan", [], words, callback)


def score(predictions, truth, *, window=None, min_overlap=None, threshold=None) -> dict:
    """Scores predictions against the truth: macro ROC-AUC, padded cmAP, AP, F1, and the same of each class.

    @param predictions  a submission CSV, or the Result of Predictor.predict()
    @param truth        any form of docs/scoring.md
    @param window       seconds, for truth with times; default: from the row ids
    """
    words = {"window": window, "min_overlap": min_overlap, "threshold": threshold}
    if isinstance(predictions, str | os.PathLike):
        return run_verb("score", [predictions, truth], words)
    with tempfile.TemporaryDirectory(prefix="whimbrel-") as folder:
        return run_verb("score", [predictions.to_submission(os.path.join(folder, "submission.csv")), truth], words)


def listed(value):
    return list(value) if isinstance(value, list | tuple) else [value]


def run_verb(verb, positions, words, callback=None):
    """Runs `whimbrel VERB POSITIONS --WORDS --json`. @throws Error of the command; KeyboardInterrupt after it has ended"""
    command = [program(), verb, *map(os.fspath, positions)]
    for key, value in words.items():
        if value is None or value is False:
            continue
        option = "--" + key.replace("_", "-")
        command += (
            [option]
            if value is True
            else [option, *(os.fspath(v) if isinstance(v, os.PathLike) else str(v) for v in listed(value))]
        )
    if callback is None and verb != "score":
        command.append("--quiet")
    # A session of its own, so that a terminal's Ctrl-C reaches it once: from here.
    process = subprocess.Popen(
        [*command, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    lines = []

    def read_steps():
        for line in process.stderr:
            lines.append(line.decode(errors="replace").rstrip("\n"))
            if callback is not None:
                callback(lines[-1])

    steps = threading.Thread(target=read_steps, daemon=True)
    steps.start()
    try:
        output = process.stdout.read()
        code = process.wait()
    except BaseException:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
    finally:
        steps.join(timeout=5)
        process.stdout.close()
        process.stderr.close()
    return answer(output, code, verb, lines)


def answer(output, code, verb, lines):
    try:
        result = json.loads(output)
    except ValueError:
        last = lines[-1] if lines else "no message"
        raise Error("internal", f"whimbrel {verb} ended with {code} and no answer: {last}") from None
    if "error" in result:
        raise Error(result["error"]["code"], result["error"]["message"])
    return result
