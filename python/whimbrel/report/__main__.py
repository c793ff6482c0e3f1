"""`whimbrel report`: the command."""

import sys

from .._command import log_of, main_of, parser_of
from . import __doc__ as description
from . import report

EXAMPLES = """examples:
  whimbrel report scores -o page.html                 # what `predict --out scores` wrote
  whimbrel report scores --audio /media/card -o page.html
  whimbrel bench b0.toml --json > bench.json && whimbrel report bench.json -o bench.html
  whimbrel report plan.toml -o plan.html
  whimbrel report certificate.json -o int8.html       # of `quantize --report`

The page holds clips of the recordings: docs/report.md.
exit codes: 0 done; 2 usage, or input that is none of these; 3 the page could not be written"""


def make_parser():
    parser = parser_of("report", description, EXAMPLES)
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
    return parser


def run(arguments):
    return report(
        arguments.source,
        arguments.out,
        audio=arguments.audio,
        recordings=arguments.recordings,
        threshold=arguments.threshold,
        max_mb=arguments.max_mb,
        log=log_of("report", arguments),
    )


def main(argv=None):
    return main_of(make_parser(), run, lambda written, _: written["page"], argv)


if __name__ == "__main__":
    sys.exit(main())
