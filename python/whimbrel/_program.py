"""The `whimbrel` program, and the command that starts it: in a hurry, so it imports nothing that Python has not loaded."""

import os
import sys


def program() -> str:
    """Path of the C++ program: $WHIMBREL_PROGRAM, else that of this package or of the build it lies in.

    @throws Error "unsupported" where there is none
    """
    package = os.path.dirname(os.path.abspath(__file__))
    installed = os.path.join(package, "bin", "whimbrel")
    built = os.path.join(os.path.dirname(os.path.dirname(package)), "whimbrel")
    chosen = os.environ.get("WHIMBREL_PROGRAM")
    for candidate in [chosen] if chosen else [installed, built]:
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    from .errors import Error

    raise Error("unsupported", f"no whimbrel program at {chosen or installed}; install the wheel, or set WHIMBREL_PROGRAM")


def main():
    """The `whimbrel` command of the wheel: becomes the program, which finds the verbs that are Python beside this script."""
    scripts = os.path.dirname(os.path.abspath(sys.argv[0]))
    os.environ["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])
    path = program()
    os.execv(path, [path, *sys.argv[1:]])
