"""requirements/*.lock hold what requirements/*.txt and the wheel's build name, with hashes, and nothing of one machine."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ENTRY = re.compile(r"(?P<name>\S+)==(?P<version>[^ ;\\\n]+)(?: ; [^\\\n]+)? \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+")


def locked(root, profile):
    """name -> version; fails where the file holds anything but pinned and hashed packages."""
    text = (root / f"requirements/{profile}.lock").read_text()
    rest = ENTRY.sub("", text)
    assert rest == "", f"{profile}.lock: {rest[:200]!r} is no package with a version and a hash; run scripts/lock"
    return {canonicalize_name(found["name"]): found["version"] for found in ENTRY.finditer(text)}


def named(lines):
    """name -> version of requirements, all pinned."""
    found = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in found}


@pytest.mark.parametrize(
    ("profile", "files"), [("runtime", ["runtime"]), ("dev", ["runtime", "export", "dev", "no-deps"])], ids=["runtime", "dev"]
)
def test_a_lock_pins_and_hashes_what_its_files_name(root, profile, files):
    lock = locked(root, profile)
    wanted = named("\n".join((root / f"requirements/{file}.txt").read_text() for file in files).splitlines())
    assert {name: lock.get(name) for name in wanted} == wanted, "run scripts/lock"
    assert not [name for name in lock if name == "torch" or name.startswith("nvidia-")], "torch is for torch.txt alone"


def test_locks_and_the_wheels_build_agree(root):
    runtime, dev = locked(root, "runtime"), locked(root, "dev")
    assert {name: dev.get(name) for name in runtime} == runtime
    build = named(tomllib.loads((root / "pyproject.toml").read_text())["build-system"]["requires"])
    assert {name: dev.get(name) for name in build} == build


def test_setup_installs_with_hashes_only_and_torch_beside(root):
    setup = (root / "scripts/setup").read_text()
    installs = re.findall(r'"\$\{pip\[@\]\}".*', setup)
    assert [("--require-hashes" in line, "torch.txt" in line) for line in installs] == [(True, False), (False, True)], installs
    assert list(named((root / "requirements/torch.txt").read_text().splitlines())) == ["torch"]
