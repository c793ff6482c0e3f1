"""clang-tidy of all of src: tidy.py [--build FOLDER] [FILE...]

Most of its time goes into the standard library's headers, anew for each file. So files that are compiled alike are read
together, as one file. Where that finds something, or they cannot be (two have a name in common), each is read alone.
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIDY = ROOT / ".venv/bin/clang-tidy"
TOGETHER = 8
NOISE = re.compile(r"warnings? (generated|treated)|^Suppressed|^Use -|^$")


def flags_of(command):
    """Of a compile command, what says how to read the file: no compiler, launcher, input or output."""
    words = shlex.split(command)
    words = list(itertools.dropwhile(lambda word: not word.startswith("-"), words))
    for name in ("-o", "-c"):
        if name in words:
            del words[words.index(name) : words.index(name) + 2]
    return words


def batches(build, only):
    """Lists of (files, flags, folder to run in). Files that Highway includes again for each instruction set stand alone."""
    groups, found = {}, []
    for entry in json.loads((build / "compile_commands.json").read_text()):
        file = pathlib.Path(entry["file"]).resolve()
        if not file.is_relative_to(ROOT / "src") or (only and file not in only):
            continue
        flags = tuple(flags_of(entry["command"]))
        if "foreach_target" in file.read_text():
            found.append(([file], flags, entry["directory"]))
        else:
            files = groups.setdefault((flags, entry["directory"]), [])
            if file not in itertools.chain(*groups.values()):  # what is compiled into several modules is read once
                files.append(file)
    for (flags, folder), files in groups.items():
        found += [(files[start : start + TOGETHER], flags, folder) for start in range(0, len(files), TOGETHER)]
    return found


def tidy(file, flags, folder):
    """(exit code, what it printed)."""
    command = [TIDY, "--quiet", "--extra-arg=-Wno-unknown-warning-option", file, "--", *flags]
    done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True)
    told = [line for line in (done.stdout + done.stderr).splitlines() if not NOISE.search(line)]
    return done.returncode, "\n".join(told)


def tidy_batch(batch):
    files, flags, folder = batch
    joined_told = ""
    if len(files) > 1:
        # Not a file that includes them: the analyzer skips what is included. In src, where .clang-tidy is found.
        with tempfile.NamedTemporaryFile("w", suffix=".cc", prefix=".tidy-", dir=ROOT / "src") as joined:
            joined.write("\n".join(file.read_text() for file in files))
            joined.flush()
            code, joined_told = tidy(joined.name, flags, folder)
        if code == 0:
            return ""
    results = [tidy(file, flags, folder) for file in files]
    told = "\n".join(told for code, told in results if code != 0)
    if told or len(files) == 1 or "[clang-diagnostic-error]" in joined_told:
        return told
    return f"{files[0]} and the {len(files) - 1} after it, read together:\n{joined_told}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("files", nargs="*", type=pathlib.Path, help="all of src where none is named")
    options = parser.parse_args()
    found = batches(options.build.resolve(), {file.resolve() for file in options.files})
    count = sum(len(files) for files, _, _ in found)
    if count == 0:
        sys.exit(f"clang-tidy: no file of src in {options.build}/compile_commands.json, expected at least one")
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        findings = [told for told in pool.map(tidy_batch, found) if told]
    if findings:
        sys.exit("\n".join(findings))
    print(f"clang-tidy: {count} files, no finding")


if __name__ == "__main__":
    main()
