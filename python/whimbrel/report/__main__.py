"""`whimbrel report`: the command."""

import argparse
import json
import sys

from . import __doc__ as description
from . import report
from .errors import ReportError

EXAMPLES = """examples:
  whimbrel report scores -o page.html                 # what `predict --out scores` wrote
  whimbrel report scores --audio /media/card -o page.html
  whimbrel bench b0.toml --json > bench.json && whimbrel report bench.json -o bench.html
  whimbrel report plan.toml -o plan.html
  whimbrel report certificate.json -o int8.html       # of `quantize --report`

The page holds clips of the recordings: docs/report.md.
exit codes: 0 done; 2 usage, or input that is none of these; 3 the page could not be written"""


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise ReportError("invalid_argument", f"{message}; see whimbrel report --help")


def make_parser():
    parser = Parser(
        prog="whimbrel report",
        description=description.split("\n", 1)[0],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "source", metavar="RUN_DIR|FILE", help="a run's folder, bench.json, plan.toml or a certificate of quantize"
    )
    parser.add_argument("-o", "--out", required=True, metavar="PAGE", help="HTML file to write")
    parser.add_argument("--audio", metavar="DIR", help="folder of the recordings; default: where run.json says")
    parser.add_argument(
        "--recordings", type=int, default=200, metavar="N", help="most recordings with a spectrogram; default: 200"
    )
    parser.add_argument("--threshold", type=float, metavar="X", help="least score of a detection; default: the run's")
    parser.add_argument("--max-mb", type=float, default=15.0, metavar="MB", help="size of the page; default: 15")
    parser.add_argument("--json", action="store_true", help="print one JSON object, also on failure")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    return parser


def run(arguments):
    log = (lambda line: None) if arguments.quiet else (lambda line: print(f"report: {line}", file=sys.stderr, flush=True))
    return report(
        arguments.source,
        arguments.out,
        audio=arguments.audio,
        recordings=arguments.recordings,
        threshold=arguments.threshold,
        max_mb=arguments.max_mb,
        log=log,
    )


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    try:
        arguments = make_parser().parse_args(argv)
        written = run(arguments)
    except Exception as error:
        known = error if isinstance(error, ReportError) else ReportError("internal", f"{type(error).__name__}: {error}")
        if "--json" in argv:
            print(json.dumps({"error": {"code": known.code, "message": str(known)}, "exit_code": known.exit_code}, indent=2))
        print(f"whimbrel: {known}", file=sys.stderr)
        return known.exit_code
    print(json.dumps(written, indent=2) if arguments.json else written["page"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
