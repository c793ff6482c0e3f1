"""Runs the fuzz targets: run.py --build build/asan (--seconds N | --runs N) [TARGET ...].

Corpora come from make_corpus.py and grow in build/fuzz/corpus. What is found stays in build/fuzz/findings, with the command
that repeats it in COMMANDS.txt; then the exit code is 1.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import resource
import subprocess
import sys

import make_corpus

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
WORK = ROOT / "build" / "fuzz"
SLOW_S = 10
# More than that for an input, 2 GB in one piece, or 2.5 GB in all are findings too.
LIMITS = [
    "-timeout=120",
    f"-report_slow_units={SLOW_S}",
    "-malloc_limit_mb=2048",
    "-rss_limit_mb=2560",
    "-max_len=65536",
    "-print_final_stats=1",
]
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1:intercept_tls_get_addr=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


def figure(pattern, text):
    found = re.findall(pattern, text)
    return found[-1] if found else "-"


def is_slow(program, path):
    """libFuzzer's clock goes on while others have the processor: what counts is the input's own time."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_CPU, (SLOW_S, SLOW_S + 1))  # noqa: E731
    quiet = subprocess.DEVNULL
    done = subprocess.run([program, path], preexec_fn=limit, stdout=quiet, stderr=quiet, check=False)
    return done.returncode != 0


def run_target(program, amount):
    """One target to its end; the row of the table."""
    name = program.name.removesuffix("_fuzz")
    corpus, log = WORK / "corpus" / name, WORK / f"{name}.log"
    before = set((WORK / "findings").iterdir())
    command = [program, *amount, *LIMITS, f"-artifact_prefix={WORK}/findings/{name}-", corpus]
    dictionary = HERE / f"{name}.dict"
    if dictionary.exists():
        command.insert(1, f"-dict={dictionary}")
    with log.open("wb") as file:
        done = subprocess.run(command, stdout=file, stderr=file, env={**SANITIZERS, **os.environ}, check=False)
    text = log.read_text(errors="replace")
    found = sorted(set((WORK / "findings").glob(f"{name}-*")) - before)
    for path in [p for p in found if p.name.startswith(f"{name}-slow-unit") and not is_slow(program, p)]:
        found.remove(path)
        path.unlink()
    with (WORK / "findings" / "COMMANDS.txt").open("a") as file:
        file.writelines(f"{program} {path}\n" for path in found)
    return {
        "target": name,
        "inputs": figure(r"stat::number_of_executed_units:\s*(\d+)", text),
        "cov": figure(r"cov: (\d+)", text),
        "corpus": str(len(list(corpus.iterdir()))),
        "findings": str(len(found) or int(done.returncode != 0)),
        "log": "" if done.returncode == 0 else str(log),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--build", default="build/asan", help="build folder of the preset asan")
    amount = parser.add_mutually_exclusive_group(required=True)
    amount.add_argument("--seconds", type=int, help="for each target")
    amount.add_argument("--runs", type=int, help="inputs for each target, the same ones at every call")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("targets", nargs="*", help="audio, manifest, ...; default: all")
    arguments = parser.parse_args()

    programs = sorted((ROOT / arguments.build / "tests" / "fuzz").glob("*_fuzz"))
    if arguments.targets:
        programs = [p for p in programs if p.name.removesuffix("_fuzz") in arguments.targets]
    if not programs:
        sys.exit(f"fuzz: no such targets in {arguments.build}/tests/fuzz; build them: make fuzz")
    make_corpus.make(WORK / "corpus")
    (WORK / "findings").mkdir(exist_ok=True)
    limit = [f"-max_total_time={arguments.seconds}"] if arguments.seconds else [f"-runs={arguments.runs}", "-seed=1"]
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        rows = list(pool.map(lambda program: run_target(program, limit), programs))
    for row in [dict(zip(rows[0], rows[0], strict=True)), *rows]:
        print("{target:16}{inputs:>12}{cov:>8}{corpus:>8}{findings:>10}  {log}".format(**row).rstrip())
    bad = [row for row in rows if row["findings"] != "0"]
    if bad:
        print(f"fuzz: findings in {WORK}/findings; repeat one with the lines of COMMANDS.txt there", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
