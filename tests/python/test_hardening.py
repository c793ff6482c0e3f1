"""What was built is hardened: the compiler was told so for every file, and program, modules and Python core show it."""

import json
import pathlib
import re
import shlex
import subprocess

import pytest

PARTS = ["whimbrel", "whimbrel-ffmpeg.so", "whimbrel-openvino.so", "whimbrel-torchscript.so", "python/whimbrel/_core*.so"]
FLAGS = ["-fstack-protector-strong", "-fstack-clash-protection", "-D_FORTIFY_SOURCE=3", "-fPI"]


@pytest.fixture(scope="module")
def hardened(build):
    cache = build / "CMakeCache.txt"
    if not cache.exists() or "WHIMBREL_HARDENING:BOOL=ON" not in cache.read_text():
        pytest.skip(f"{build} was configured without WHIMBREL_HARDENING")
    return build


@pytest.fixture(params=PARTS)
def part(request, hardened):
    found = sorted(hardened.glob(request.param))
    if not found:
        pytest.skip(f"no {request.param} in {hardened}")
    return found[0]


def readelf(what, file):
    return subprocess.run(["readelf", "--wide", what, file], capture_output=True, text=True, check=True).stdout


def test_every_file_is_compiled_with_checks(hardened):
    commands = [entry["command"] for entry in json.loads((hardened / "compile_commands.json").read_text())]
    assert len(commands) > 100
    for command in commands:
        missing = [flag for flag in FLAGS if flag not in command]
        assert not missing, f"{missing} in {command}"
        undone = [word for word in shlex.split(command) if re.fullmatch("-fno-stack-protector|-O0|-fcf-protection=none", word)]
        assert not undone, f"{undone} in {command}"


def test_is_position_independent(part):
    assert re.search(r"Type: +DYN", readelf("--file-header", part))


def test_the_program_is_an_executable_at_no_fixed_place(hardened):
    assert re.search(r"\(FLAGS_1\).*\bPIE\b", readelf("--dynamic", hardened / "whimbrel"))


def test_what_the_loader_wrote_is_read_only_then(part):
    assert "GNU_RELRO" in readelf("--segments", part)
    assert re.search(r"\(FLAGS(_1)?\).*\b(BIND_)?NOW\b", readelf("--dynamic", part))


def test_nothing_is_both_writable_and_executable(part):
    segments = re.findall(r"^  (LOAD|GNU_STACK) +(?:0x[0-9a-f]+ +){5}([RWE ]+?) +0x", readelf("--segments", part), re.MULTILINE)
    assert "GNU_STACK" in {kind for kind, _ in segments}
    assert not [flags for _, flags in segments if "W" in flags and "E" in flags]
    assert "E" not in dict(segments)["GNU_STACK"]


def test_the_stack_is_guarded(part):
    assert "__stack_chk_fail" in readelf("--dyn-syms", part)


def test_copies_are_measured(hardened):
    """Only where the compiler knows a size is there a call that checks it, so not in every module."""
    assert re.search(r"\b__(mem|str|v?s?n?printf|read|fread)\w*_chk\b", readelf("--dyn-syms", hardened / "whimbrel"))


def test_jumps_land_where_the_compiler_said(part):
    """Indirect jumps and calls: the compiler marks each place (endbr64); the CPU checks them where the system lets it."""
    if "x86-64" not in readelf("--file-header", part).lower().replace("_", "-"):
        pytest.skip("-fcf-protection is of x86")
    code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", part], capture_output=True, text=True, check=True).stdout
    assert code.count("endbr64") > 10, "two are of what every file is linked with"


def test_no_part_was_forgotten(hardened):
    """Whatever else is built to be loaded has to join PARTS."""
    known = {path for pattern in PARTS for path in hardened.glob(pattern)}
    built = {*hardened.glob("whimbrel-*.so"), *hardened.glob("python/whimbrel/*.so")}
    assert {path.name for path in built - known} == set()
    assert pathlib.Path(hardened / "whimbrel") in known
