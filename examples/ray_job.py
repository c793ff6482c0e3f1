"""Scores a listing of recordings on a Ray cluster, or on this machine alone.

    python examples/ray_job.py field/ --model model/b0.toml --out scores
    RAY_ADDRESS=auto python examples/ray_job.py s3://bucket/2026/ --model /shared/b0.toml --out s3://bucket/scores

Run again after an interruption it goes on. docs/scale.md says what the output holds.
"""

import argparse
import json
import os
import sys

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when ray is imported

import ray
import whimbrel.ray


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", help="folder or URI prefix; listing .txt, .csv or .parquet (column recording)")
    parser.add_argument("--model", nargs="+", required=True, help="manifests; several make an ensemble")
    parser.add_argument("--out", required=True, help="folder or URI for the results")
    parser.add_argument("--engine", default="auto", help="name one where nodes differ and scores must not")
    parser.add_argument("--threshold", type=float, help="write detections at or above it instead of all scores")
    parser.add_argument("--partition-by", nargs="*", default=["folder"], help="columns of the listing, folder or date")
    parser.add_argument("--retry-failed", action="store_true", help="try once more what failed before")
    parser.add_argument("--actors", type=int, help="processes; default: one a node")
    parser.add_argument("--cpus-per-actor", type=int, help="default: the cores of the smallest node")
    options = parser.parse_args()

    if address := os.environ.get("RAY_ADDRESS"):
        ray.init(address=address)
    else:
        ray.init(address="local", num_cpus=len(os.sched_getaffinity(0)), include_dashboard=False)
    try:
        summary = whimbrel.ray.predict(
            options.recordings,
            options.model,
            options.out,
            engine=options.engine,
            threshold=options.threshold,
            partition_by=options.partition_by,
            retry_failed=options.retry_failed,
            actors=options.actors,
            cpus_per_actor=options.cpus_per_actor,
        )
    except whimbrel.Error as error:
        print(f"ray_job: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        ray.shutdown()
    print(json.dumps(summary, indent=1))
    return 1 if summary["failed"] or summary["partial"] else 0


if __name__ == "__main__":
    sys.exit(main())
