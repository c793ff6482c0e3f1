"""What hardening costs: two builds of whimbrel on the same jobs, in turn: hardening.py HARDENED PLAIN [--rounds N]

    cmake --preset release && cmake --build --preset release --target whimbrel
    cmake --preset release -B build/plain -DWHIMBREL_HARDENING=OFF && cmake --build build/plain --target whimbrel
    .venv/bin/python bench/hardening.py build/release/whimbrel build/plain/whimbrel

CPU seconds of whole processes with one worker, each its own peer in the same round.
"""

import argparse
import pathlib
import shutil

import common

CHORUS = common.ROOT / "examples/dawn_chorus/model/dawn_chorus.toml"


def jobs(build):
    """name -> (manifest, recordings)."""
    return {
        "front end (WAV, small network)": (CHORUS, common.recordings(4, 600, "wav")),
        "decoding (Ogg Vorbis, small network)": (CHORUS, common.recordings(4, 600, "ogg")),
        "inference (WAV, tf_efficientnet_b0)": (common.exported(build, "tf_efficientnet_b0"), common.recordings(1, 300, "wav")),
    }


def compare(programs, manifest, recordings, rounds):
    """name -> CPU seconds of each round."""
    commands = {}
    for name, program in programs.items():
        out = common.WORK / "hardening" / name
        shutil.rmtree(out, ignore_errors=True)
        words = ["--engine", "onnxruntime", "--batch", 4, "--threads", 1, "--format", "npy", "--quiet"]
        commands[name] = [program, "predict", *recordings, "--model", manifest, "--out", out, *words]
    return {name: [run["cpu_s"] for run in runs] for name, runs in common.in_turn(commands, rounds).items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hardened", type=pathlib.Path, help="program of a build with WHIMBREL_HARDENING")
    parser.add_argument("plain", type=pathlib.Path, help="program of a build without")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    programs = {"hardened": options.hardened.resolve(), "plain": options.plain.resolve()}
    common.print_machine()
    for job, (manifest, recordings) in jobs(options.hardened.parent).items():
        seconds = compare(programs, manifest, recordings, options.rounds)
        ratios = [one / other for one, other in zip(seconds["hardened"], seconds["plain"], strict=True)]
        print(f"{job}: CPU seconds, median (min..max) of {options.rounds}")
        for name, seen in seconds.items():
            print(f"  {name:9} {common.spread(seen)}")
        ratio = common.median(seconds["hardened"]) / common.median(seconds["plain"])
        print(f"  hardened / plain {ratio:.4f} of medians; round by round {common.median(ratios):.4f}", flush=True)


if __name__ == "__main__":
    main()
