"""`make bench`: every bench after the other. Each prints the machine, its peer and the ratio."""

import argparse
import pathlib
import subprocess
import sys

BENCHES = [
    "front_end.py",
    "predict_vs_peers.py",
    "birdnet.py",
    "memory.py",
    "quantize_vs_peers.py",
    "plan_vs_simple.py",
    "auto_engine.py",
    "budget_promise.py",
    "reference_job.py",
    "ray_workers.py",
    "python_api.py",
    "report_page.py",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build/release")
    options = parser.parse_args()
    here = pathlib.Path(__file__).parent
    for name in BENCHES:
        print(f"\n=== {name}", flush=True)
        subprocess.run([sys.executable, here / name, "--build", options.build], check=True)


if __name__ == "__main__":
    main()
