"""The `whimbrel` program, and the command that starts it."""

import os
import pathlib
import shutil
import sys


def program() -> str:
    """Path of the C++ program: $WHIMBREL_PROGRAM, that of this package, the build's, or what PATH has.

    @throws Error "unsupported" where there is none
    """
    package = pathlib.Path(__file__).parent
    built = pathlib.Path(os.path.abspath(__import__("whimbrel").__file__)).parents[2] / "whimbrel"
    chosen = os.environ.get("WHIMBREL_PROGRAM")
    for candidate in [chosen] if chosen else [package / "bin" / "whimbrel", built]:
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return os.fspath(candidate)
    found = None if chosen else shutil.which("whimbrel")
    if found:
        return found
    from .errors import Error

    raise Error(
        "unsupported", f"no whimbrel program at {chosen or package / 'bin'}; install the wheel, or set WHIMBREL_PROGRAM"
    )


def main():
    """The `whimbrel` command of the wheel: becomes the program, which finds the verbs that are Python beside this script."""
    scripts = os.path.dirname(os.path.abspath(sys.argv[0]))
    os.environ["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])
    path = program()
    os.execv(path, [path, *sys.argv[1:]])
