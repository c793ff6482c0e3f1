"""Installs dist/whimbrel-*.whl into a fresh virtual environment and tries it there; ends with 1 where anything is amiss.

Its libraries must come from the environment or be those that every Linux has; command, package and a model must work; and
recordings in every format must score as the build in build/release scores them, to the bit.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ROOT / "examples/dawn_chorus/model/dawn_chorus.toml"
# Of the C and C++ runtimes, and zlib: manylinux takes them for granted.
EVERYWHERE = re.compile(r"^(linux-vdso|ld-linux|libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+|libz|libatomic)[.-]")
CODE = """
import json, sys, numpy, whimbrel
result = whimbrel.Predictor(sys.argv[1], engine=sys.argv[2], batch=1).predict(sys.argv[3])
numpy.save(sys.argv[4], result.scores)
assert whimbrel.Mel(sample_rate_hz=32000)(numpy.zeros(32000, "f4")).shape == (128, 63)
try:
    whimbrel.Predictor("nowhere.toml")
except whimbrel.Error as error:
    assert error.code == "not_found"
print(json.dumps({"file": whimbrel.__file__, "failures": result.failures}))
"""


def run(*command, **how):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **how)
    if done.returncode != 0:
        sys.exit(f"check_wheel: {' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def check_libraries(site):
    """Every library of the wheel's files resolves within site-packages or is everywhere."""
    files = [*site.glob("whimbrel/*.so"), site / "whimbrel/bin/whimbrel", *site.glob("whimbrel.libs/*")]
    if len(files) < 5:
        sys.exit(f"check_wheel: {[f.name for f in files]}, expected _core, two engine modules, FFmpeg's and the program")
    foreign, missing = {}, {}
    for file in files:
        for line in run("ldd", file).splitlines():
            name, _, path = line.strip().partition(" => ")
            if EVERYWHERE.match(pathlib.Path(name.split(" ")[0]).name):
                continue
            if path.startswith("not found"):
                missing.setdefault(file.name, []).append(name)
            elif path and not pathlib.Path(path.split(" ")[0]).resolve().is_relative_to(site.resolve()):
                foreign.setdefault(file.name, []).append(name)
    missing.pop("whimbrel-torchscript.so", None)  # torch is an extra
    if foreign or missing:
        sys.exit(f"check_wheel: libraries from outside: {foreign}; not found: {missing}")
    print(f"check_wheel: {len(files)} files, their libraries are inside")


def main():
    wheels = sorted((ROOT / "dist").glob("whimbrel-*.whl"))
    if len(wheels) != 1:
        sys.exit(f"check_wheel: {[w.name for w in wheels]} in dist, expected one wheel; run scripts/build-wheel")
    with tempfile.TemporaryDirectory(prefix="whimbrel-wheel-") as scratch:
        scratch = pathlib.Path(scratch)
        venv.create(scratch / "venv", with_pip=True)
        python, command = scratch / "venv/bin/python", scratch / "venv/bin/whimbrel"
        # The versions of the lock, not its hashes, which would be asked of the wheel too.
        pins = re.findall(r"^\S+==[^ ;]+", (ROOT / "requirements/dev.lock").read_text(), re.MULTILINE)
        (scratch / "pins").write_text("\n".join(pins))
        words = ["install", "--quiet", "--disable-pip-version-check", "-c", scratch / "pins", wheels[0]]
        run(python, "-m", "pip", *words)
        site = next((scratch / "venv/lib").glob("python*/site-packages"))
        check_libraries(site)
        bills = sorted(path.name for path in site.glob("whimbrel-*.dist-info/sboms/*.cdx.json"))
        if bills != ["auditwheel.cdx.json", "whimbrel.cdx.json"]:
            sys.exit(f"check_wheel: bills of materials {bills}, expected whimbrel's own and auditwheel's")

        recordings = scratch / "recordings"
        synthesize = [ROOT / "examples/dawn_chorus/synthesize.py", "--recordings", 3, "--seconds", 20, "-o", recordings]
        run(ROOT / ".venv/bin/python", *synthesize, "--formats", "wav,flac,ogg")
        subprocess.run(["ffmpeg", "-v", "error", "-i", next(recordings.glob("*.wav")), recordings / "x.mp3"], check=True)
        subprocess.run(["ffmpeg", "-v", "error", "-i", next(recordings.glob("*.wav")), recordings / "x.m4a"], check=True)
        # Nothing of this machine's own: no PATH but the environment's, no PYTHONPATH, another folder.
        clean = {
            "PATH": f"{scratch / 'venv/bin'}:/usr/bin:/bin",
            "HOME": str(scratch),
            "WHIMBREL_CACHE": str(scratch / "cache"),
        }
        words = [
            "predict",
            recordings,
            "--model",
            MODEL,
            "--engine",
            "onnxruntime",
            "--batch",
            1,
            "--format",
            "npy,csv",
            "--quiet",
        ]
        run(command, *words, "--out", scratch / "wheel", cwd=scratch, env=clean)
        run(ROOT / "build/release/whimbrel", *words, "--out", scratch / "build", cwd=scratch, env={**os.environ, **clean})
        for name in ("scores.npy", "scores.index.csv", "detections.csv"):
            if (scratch / "wheel" / name).read_bytes() != (scratch / "build" / name).read_bytes():
                sys.exit(f"check_wheel: {name} of the wheel's command differs from the build's")
        for engine in ("onnxruntime", "openvino"):
            code = ["-c", CODE, MODEL, engine, recordings, scratch / f"{engine}.npy"]
            told = json.loads(run(python, *code, cwd=scratch, env=clean))
            if told["failures"] or str(site) not in told["file"]:
                sys.exit(f"check_wheel: {told}")
        if (scratch / "onnxruntime.npy").read_bytes() != (scratch / "wheel/scores.npy").read_bytes():
            sys.exit("check_wheel: scores of the package differ from the command's")
        print("check_wheel:", run(command, "--version", env=clean).strip(), "scores as the build does:", wheels[0].name)


if __name__ == "__main__":
    main()
