"""Peak memory of `whimbrel predict` on a ten-minute and on a ten-hour recording: it must not depend on the length."""

import argparse

import soundfile
from common import WORK, exported, in_turn, print_machine, recordings, whimbrel


def ten_hours(source):
    """The ten-minute recording sixty times over, one FLAC."""
    path = WORK / "ten-hours.flac"
    if not path.exists():
        samples, rate = soundfile.read(source, dtype="int16")
        partial = path.with_suffix(".partial")
        with soundfile.SoundFile(partial, "w", rate, 1, "PCM_16", format="FLAC") as file:
            for _ in range(60):
                file.write(samples)
        partial.rename(path)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--model", help="manifest; default: tf_efficientnet_b0 with random weights")
    options = parser.parse_args()
    print_machine()
    manifest = options.model or exported(options.build, "tf_efficientnet_b0")
    short = recordings(1, 600, "flac")[0]
    base = [whimbrel(options.build), "predict", "--model", manifest, "--format", "csv", "--quiet", "--out"]
    commands = {"10 minutes": [*base, WORK / "out-10m", short], "10 hours": [*base, WORK / "out-10h", ten_hours(short)]}
    results = in_turn(commands, 1)
    peaks = {name: max(r["rss_mb"] for r in runs) for name, runs in results.items()}
    for name, runs in results.items():
        print(f"{name:<12} peak {peaks[name]:8.1f} MB   wall {runs[0]['wall_s']:8.1f} s")
    print(f"ratio {peaks['10 hours'] / peaks['10 minutes']:.3f}")


if __name__ == "__main__":
    main()
