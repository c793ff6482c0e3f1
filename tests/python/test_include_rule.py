"""The include rule holds, and its checker catches what it says it catches."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
CHECKER = ROOT / ".ci/check_includes.py"


def check(*words):
    return subprocess.run([sys.executable, str(CHECKER), *map(str, words)], capture_output=True, text=True, timeout=60)


def test_the_checker_finds_every_kind_of_breach():
    result = check("--self-test")
    assert result.returncode == 0, result.stderr


def test_this_tree_has_no_breach():
    result = check()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "no breach" in result.stdout


def test_a_breach_is_named_with_file_and_line_and_fails(tmp_path):
    (tmp_path / "src/io").mkdir(parents=True)
    (tmp_path / "src/io/csv.cc").write_text('#include <string>\n#include "whimbrel/pipeline.h"\n')
    result = check(tmp_path)
    assert result.returncode == 1
    assert result.stdout.startswith("src/io/csv.cc:2: io may not include whimbrel/pipeline.h")


def test_a_folder_without_sources_fails(tmp_path):
    assert check(tmp_path).returncode == 1
