"""What the verbs that are Python have in common as commands, and as subpackages that can be called."""

import argparse
import json
import sys
import types
import unicodedata

from .errors import Error


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as the program does."""

    def error(self, message):
        raise Error("invalid_argument", f"{message}; see {self.prog} --help")


def parser_of(verb, description, examples=None):
    """A parser with the options that every verb has: --json and --quiet."""
    parser = Parser(
        prog=f"whimbrel {verb}",
        description=description.split("\n", 1)[0],
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, also on failure")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    return parser


def log_of(verb, arguments):
    """Prints a step on stderr, or nothing with --quiet."""
    if arguments.quiet:
        return lambda line: None
    return lambda line: print(printable(f"{verb}: {line}"), file=sys.stderr, flush=True)


def main_of(parser, run, result_of, argv=None):
    """Runs a verb.

    @param run        gets the arguments and returns what --json prints
    @param result_of  of that and the arguments: what is printed otherwise; None: nothing
    @return           exit code
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        arguments = parser.parse_args(argv)
        done = run(arguments)
    except Exception as error:
        known = error if isinstance(error, Error) else Error("internal", f"{type(error).__name__}: {error}")
        if "--json" in argv:
            print(json.dumps({"error": {"code": known.code, "message": str(known)}, "exit_code": known.exit_code}, indent=2))
        print(printable(f"whimbrel: {known}"), file=sys.stderr)
        return known.exit_code
    text = json.dumps(done, indent=2) if arguments.json else result_of(done, arguments)
    if text is not None:
        print(text if arguments.json else printable(text))
    return 0


def printable(text):
    """Text with names from outside, for a terminal: control characters, which begin escape sequences, become "?"."""
    return "".join("?" if c != "\n" and unicodedata.category(c) == "Cc" else c for c in text)


def make_callable(name, function):
    """`import whimbrel.NAME` makes `whimbrel.NAME` the subpackage, so that must be what `whimbrel.NAME(...)` calls."""

    class CallableModule(types.ModuleType):
        def __call__(self, *arguments, **options):
            return function(*arguments, **options)

    CallableModule.__call__.__doc__ = function.__doc__
    sys.modules[name].__class__ = CallableModule
