"""Where things are: the repository, the build under test, the command, and the shared recordings and networks."""

import os
import pathlib
import signal
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime's wheel reports over the network otherwise
BUILD = (ROOT / os.environ.get("WHIMBREL_BUILD", "build/release")).resolve()
sys.path.insert(0, str(BUILD / "python"))  # the package with its core, as it will be installed
os.environ["PYTHONPATH"] = str(BUILD / "python")  # of processes that tests start

# What a run learns of a model's speed would otherwise choose the engine of the next one, and come from the user's own runs.
CACHE = tempfile.TemporaryDirectory(prefix="whimbrel-cache-")
os.environ["WHIMBREL_CACHE"] = CACHE.name

# nohup and a script's "&" tell what they start to ignore signals, which all that is started from there inherits. With a handler
# instead, this process goes on ignoring them, and those that tests start do not.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: tens of seconds; leave out with -m 'not slow'")
    config.addinivalue_line("markers", "serial: gives a run little time; `make test` runs these alone, after the others")


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def build():
    """The build under test: WHIMBREL_BUILD, by default build/release."""
    return BUILD


@pytest.fixture(scope="session")
def whimbrel(build):
    """The command."""
    program = build / "whimbrel"
    if not program.exists():
        pytest.skip(f"{program} is not built: run make build, or set WHIMBREL_BUILD")
    return program


@pytest.fixture(scope="session")
def shared():
    """Real recordings and trained networks: WHIMBREL_SHARED, by default ../shared beside the repository."""
    folder = pathlib.Path(os.environ.get("WHIMBREL_SHARED", ROOT.parent / "shared")).resolve()
    if not (folder / "data").exists():
        pytest.skip(f"no recordings at {folder}: set WHIMBREL_SHARED")
    return folder
