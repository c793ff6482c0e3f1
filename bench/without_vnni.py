"""Runs a command as if this CPU had AVX2 but no AVX-512, VNNI or AMX, so that the engines take their AVX2 kernels for real.

    python bench/without_vnni.py -- COMMAND ...      the command and all that it starts
    python bench/without_vnni.py --check             evidence: what the engines and whimbrel say and compute with and without

For the INT8 figures of CPUs without VNNI, measured on a CPU that has it. Engines choose their kernels by `cpuid`; OpenVINO
heeds ONEDNN_MAX_CPU_ISA, ONNX Runtime has no such setting. So without_vnni.c, compiled on first use, is loaded as the dynamic
linker's audit library (LD_AUDIT): as a library is mapped it turns each `cpuid` instruction, found here by objdump, into an
illegal one in the process's private memory, and answers it with those bits cleared. No file is altered or copied. What it
knows: ONNX Runtime, OpenVINO, LiteRT, whimbrel of --build, its libraries and the command's own executable; libc and PyTorch
are told through their environment variables. NumPy and other Python packages keep the CPU's own instructions.

What it is not: another CPU. Clock, caches and port counts are this machine's; AVX2 kernels alone are as on an AVX2 CPU.
x86-64 Linux with a C compiler and binutils; glibc 2.35 or newer (an older one calls functions slower under LD_AUDIT).
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from common import PYTHON, ROOT, WORK

FOLDER = WORK / "without_vnni"
LIBRARIES = re.compile(r"lib(hwy|soxr|avutil|avcodec|swresample|sndfile)\.so")
GPU = re.compile(r"intel_(gpu|npu)_plugin")


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def objects(build, command):
    """The files whose cpuid is to be answered: an object that is not among them sees the CPU as it is."""
    wheels = next((ROOT / ".venv/lib").glob("python3*/site-packages"))
    found = [p for name in ("onnxruntime", "openvino", "ai_edge_litert") for p in wheels.glob(f"{name}/**/*.so*")]
    found = [p for p in found if not GPU.search(p.name)]
    build = ROOT / build
    program = build / "whimbrel"
    found += [program, *build.glob("*.so"), *build.glob("bench/*"), *build.glob("tests/*_test")]
    if program.exists():
        listing = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
        found += [pathlib.Path(w) for w in listing.split() if LIBRARIES.search(w) and w.startswith("/")]
    found += [pathlib.Path(path) for word in command[:1] if (path := shutil.which(word))]
    return [p for p in dict.fromkeys(p.resolve() for p in found) if p.is_file() and is_elf(p)]


def cpuid_addresses(path):
    """Addresses of the real instructions: the bytes 0f a2 also occur inside longer ones."""
    if b"\x0f\xa2" not in path.read_bytes():
        return []
    listing = subprocess.Popen(["objdump", "-d", "-w", "--no-show-raw-insn", path], stdout=subprocess.PIPE, text=True)
    addresses = [line.split(":")[0].strip() for line in listing.stdout if line.rstrip().endswith("\tcpuid")]
    if listing.wait() != 0:
        sys.exit(f"objdump -d {path}: exit code {listing.returncode}")
    return addresses


def write_table(build, command):
    """Path of the table of without_vnni.c; a file's addresses are kept until its size or time changes."""
    cache_file = FOLDER / "cache.json"
    cache = json.loads(cache_file.read_text()) if cache_file.exists() else {}
    lines = []
    for path in objects(build, command):
        status = path.stat()
        key = f"{path} {status.st_size} {status.st_mtime_ns}"
        if key not in cache:
            cache[key] = cpuid_addresses(path)
        if cache[key]:
            lines.append(" ".join([str(status.st_dev), str(status.st_ino), *cache[key]]))
    partial = cache_file.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(cache))
    partial.rename(cache_file)
    text = "\n".join(lines) + "\n"
    table = FOLDER / f"table-{hashlib.sha256(text.encode()).hexdigest()[:16]}.txt"  # one that is in use stays as it is
    if not table.exists():
        partial.write_text(text)
        partial.rename(table)
    return table


def compiled():
    source, library = pathlib.Path(__file__).with_suffix(".c"), FOLDER / "without_vnni.so"
    if not library.exists() or library.stat().st_mtime < source.stat().st_mtime:
        partial = library.with_suffix(f".{os.getpid()}")
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", partial, source], check=True)
        partial.rename(library)
    return library


def environment(build="build/release", command=()):
    """Environment in which a process sees no VNNI. Whole processes only: this one has asked its cpuid already."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    tunables = "glibc.cpu.hwcaps=" + ",".join(f"-AVX512{x}" for x in ("F", "VL", "BW", "DQ", "CD"))
    return {
        **os.environ,
        "LD_AUDIT": str(compiled()),
        "LD_BIND_NOW": "1",  # lazily bound calls would go through the linker's profiling entry each time
        "WHIMBREL_CPUID_TABLE": str(write_table(build, command)),
        "GLIBC_TUNABLES": tunables,
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",  # PyTorch's; OpenVINO takes the same kernels without it
    }


def check(build):
    program = str(ROOT / build / "whimbrel")
    probe = [str(PYTHON), str(pathlib.Path(__file__).with_name("vnni_evidence.py"))]
    for title, env in (("this CPU", None), ("without VNNI", environment(build, [program]))):
        print(f"{title}:")
        if pathlib.Path(program).exists():
            out = subprocess.run([program, "info", "--json"], env=env, capture_output=True, text=True, check=True).stdout
            print(f"  whimbrel info: integer_path {json.loads(out)['cpu']['integer_path']}")
        subprocess.run(probe, env=env, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("command", nargs="*")
    options = parser.parse_args()
    if options.check:
        return check(options.build)
    if not options.command:
        parser.error("no command")
    executable = shutil.which(options.command[0]) or options.command[0]
    os.execve(executable, options.command, environment(options.build, options.command))


if __name__ == "__main__":
    main()
