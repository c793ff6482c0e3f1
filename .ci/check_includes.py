"""The include rule of docs/architecture.md, checked: check_includes.py [ROOT] | --self-test

A module's files (src/<module>/*, include/whimbrel/<module>.h) include only public headers of modules to their left, and
their own private headers. Vendor headers occur in src/engines only. Public headers hold no vendor header and no conditional
compilation. Prints every breach as file:line and exits 1, or counts the files and exits 0.
"""

import pathlib
import re
import sys
import tempfile

# core -> {io, audio, features, engines, score} -> {models, quantize} -> pipeline -> plan -> {cli, python}
LAYERS = [
    ["core"],
    ["io", "audio", "features", "engines", "score"],
    ["models", "quantize"],
    ["pipeline"],
    ["plan"],
    ["cli", "python"],
]
RANK = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}
ORDER = " -> ".join(layer[0] if len(layer) == 1 else "{" + ", ".join(layer) + "}" for layer in LAYERS)

SUFFIXES = {".h", ".hpp", ".inc", ".cc", ".cpp"}
INCLUDE = re.compile(r'^\s*#\s*include(?:_next)?\s*(?:"([^"]*)"|<([^>]*)>|(\S.*))')
CONDITIONAL = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif|elifdef|elifndef|else)\b")
VENDOR = re.compile(r"^(?:.*/)?(?:onnxruntime.*|openvino/.*|torch/.*|ATen/.*|c10/.*|caffe2/.*)$")
COMMENTS_AND_TEXT = re.compile(r'//[^\n]*|/\*.*?\*/|R"([^(\s]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"', re.DOTALL)


def code_lines(text):
    """Lines without comments and raw text, so that an example in one is no breach; strings stay, as includes are written so."""

    def blank(match):
        found = match.group()
        return found if found.startswith('"') else "\n" * found.count("\n") or " "

    return COMMENTS_AND_TEXT.sub(blank, text).split("\n")


def module_of(path):
    """("io", is_public) of a path relative to the root, or None where the rule does not reach."""
    if path.parts[:2] == ("include", "whimbrel"):
        return path.stem, True
    if path.parts[0] == "src" and len(path.parts) > 2:
        return path.parts[1], False
    if path.parts[:2] == ("python", "src"):
        return "python", False
    return None


def owner_of(target, path, root):
    """(module, is_public) of the header that `target` names in the file at `path`; None for one that is not ours."""
    beside = (root / path).parent / target
    if beside.is_file():  # the compiler looks there first
        resolved = beside.resolve()
        return module_of(resolved.relative_to(root)) if resolved.is_relative_to(root) else None
    parts = pathlib.PurePosixPath(target).parts
    if len(parts) == 2 and parts[0] == "whimbrel":
        return pathlib.PurePosixPath(target).stem, True
    if len(parts) > 1 and parts[0] in RANK:
        return parts[0], False
    return None


def breach_of(module, is_public, path, target, root):
    """What is wrong with `#include target` in a file of `module`, or None."""
    if VENDOR.match(target):
        if is_public:
            return f"{target} in a public header; vendor types stay in src/engines"
        return None if module == "engines" else f"vendor header {target}; only src/engines may include it"
    owner = owner_of(target, path, root)
    if owner is None:
        return None
    other, other_is_public = owner
    if other not in RANK:
        return f"{target} belongs to no module of {ORDER}"
    if not other_is_public:
        if is_public:
            return f"private header {target} in a public header"
        return None if other == module else f"private header {target} of {other}; include whimbrel/{other}.h"
    if other != module and RANK[other] >= RANK[module]:
        return f"{module} may not include {target}: it stands beside or to the right in {ORDER}"
    return None


def check(root):
    """(number of files, breaches as "file:line: what")."""
    root = root.resolve()
    files = sorted(
        path
        for folder in ("src", "include", "python/src")
        for path in (root / folder).rglob("*")
        if path.suffix in SUFFIXES and path.is_file()
    )
    breaches = []
    for file in files:
        path = file.relative_to(root)
        owner = module_of(path)
        if owner is None or owner[0] not in RANK:
            breaches.append(f"{path}:1: belongs to no module of {ORDER}")
            continue
        for number, line in enumerate(code_lines(file.read_text(encoding="utf-8")), 1):
            what = None
            if owner[1] and CONDITIONAL.match(line):
                what = "conditional compilation in a public header"
            elif include := INCLUDE.match(line):
                target = include[1] or include[2]
                what = (
                    f"#include {include[3]}: the rule cannot read macros"
                    if target is None
                    else breach_of(*owner, path, target, root)
                )
            if what:
                breaches.append(f"{path}:{number}: {what}")
    return len(files), breaches


# file -> (text, words of each breach expected, in order of lines)
SELF_TEST = {
    "include/whimbrel/core.h": ("#pragma once\n#include <string>\n", []),
    "include/whimbrel/io.h": ('// #include "whimbrel/plan.h"\n/*\n#ifdef X\n*/\n#include "whimbrel/core.h"\n', []),
    "include/whimbrel/audio.h": ('#include "whimbrel/io.h"\n', ["1: audio may not include whimbrel/io.h"]),
    "include/whimbrel/score.h": ("\n#ifdef __AVX2__\n#endif\n", ["2: conditional compilation"]),
    "include/whimbrel/engines.h": ("#include <onnxruntime_c_api.h>\n", ["1: onnxruntime_c_api.h in a public header"]),
    "include/whimbrel/models.h": ('#include "models/toml.h"\n', ["1: private header models/toml.h in a public header"]),
    "include/whimbrel/extra.h": ("#pragma once\n", ["1: belongs to no module"]),
    "src/io/files.h": ("#pragma once\n", []),
    "src/io/good.cc": (
        '#include "io/files.h"\n#include "whimbrel/io.h"\n#include <fmt/format.h>\nauto s = R"(\n#include "cli/x.h"\n)";\n',
        [],
    ),
    "src/io/bad.cc": (
        '#include "whimbrel/models.h"\n#include "../audio/decoder.h"\n',
        ["1: io may not", "2: private header ../audio/decoder.h"],
    ),
    "src/audio/decoder.h": ("#pragma once\n", []),
    "src/audio/angle.cc": (
        "#include <io/files.h>\n#  include <whimbrel/features.h>\n",
        ["1: private header io/files.h", "2: audio may not"],
    ),
    "src/engines/onnxruntime.cc": ("#include <onnxruntime_c_api.h>\n#include <openvino/openvino.hpp>\n", []),
    "src/models/toml.h": ("#pragma once\n", []),
    "src/models/quantized.cc": ('#include "whimbrel/io.h"\n#include "whimbrel/quantize.h"\n', ["2: models may not"]),
    "src/pipeline/run.cc": (
        "#include <torch/script.h>\n#include <ATen/ATen.h>\n#include HEADER\n#include <onnxruntime/core/session.h>\n",
        [
            "1: vendor header torch/script.h",
            "2: vendor header ATen/ATen.h",
            "3: #include HEADER",
            "4: vendor header onnxruntime/core/session.h",
        ],
    ),
    "src/cli/main.cc": ('#include "whimbrel/pipeline.h"\n#include "whimbrel/python.h"\n', ["2: cli may not"]),
    "src/stray/x.cc": ("int x;\n", ["1: belongs to no module"]),
    "python/src/bindings.cc": ('#include "whimbrel/plan.h"\n#include "pipeline/run.h"\n', ["2: private header pipeline/run.h"]),
}


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, (text, _) in SELF_TEST.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        count, breaches = check(root)
    assert count == len(SELF_TEST), count
    for name, (_, expected) in SELF_TEST.items():
        found = [breach.removeprefix(f"{name}:") for breach in breaches if breach.startswith(f"{name}:")]
        assert len(found) == len(expected), f"{name}: found {found}, expected {expected}"
        for breach, start in zip(found, expected, strict=True):
            assert breach.startswith(start), f"{name}: found {breach!r}, expected {start!r}"
    print(f"include rule: self-test of {count} files, {len(breaches)} breaches found as expected")


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1]
    count, breaches = check(root)
    if count == 0:
        return f"include rule: no sources under {root}, expected src and include"
    if breaches:
        print("\n".join(breaches))
        return f"include rule: {count} files, {len(breaches)} breaches; see docs/architecture.md"
    print(f"include rule: {count} files, no breach")


if __name__ == "__main__":
    sys.exit(main())
