"""A run, a bench, a plan or a quantization as one page that needs no network.

    whimbrel.report("scores", "page.html")
    whimbrel report scores -o page.html

This module is itself callable: `whimbrel.report(...)` is the function `report` below.
"""

from .._command import make_callable
from .errors import ReportError

__all__ = ["ReportError", "report"]


def report(source, output, *, audio=None, recordings=200, threshold=None, max_mb=15.0, log=None):
    """Writes one HTML page with all its pictures, sounds and scripts inside; on an error none.

    @param source      a folder that `predict` wrote, or a file that `bench --json`, `plan` or `quantize --report` wrote: told
                       apart by what they hold
    @param output      the page; replaced where it exists
    @param audio       folder of the recordings of a run; default: where run.json says
    @param recordings  most recordings with a spectrogram, those with most detections first; tables hold all of them
    @param threshold   least score of a detection, 0..1; default: the run's
    @param max_mb      size of the page in MB (10^6 bytes): pictures get smaller and clips fewer to keep it
    @param log         called with a line at each step
    @return            a dict of what was written: page, kind, bytes; for a run also recordings, spectrograms, clips, seconds
    @throws ReportError  one line, with a code spelled as in whimbrel's --json
    """
    try:
        from .make import make_page
    except ImportError as error:
        raise ReportError("unsupported", f"{error}; report needs: pip install 'whimbrel[report]'") from error
    return make_page(source, output, audio, recordings, threshold, max_mb, log or (lambda line: None))


make_callable(__name__, report)
