"""What can go wrong in an export: one line that says where, what was found, what was expected and what to do."""

import difflib

from ..errors import Error


class ExportError(Error):
    """The only exception that an export throws on purpose."""


def did_you_mean(word, candidates, count=1):
    """'; did you mean "a"?', '; did you mean "a", "b" or "c"?' or ''."""
    close = [f'"{name}"' for name in difflib.get_close_matches(word, list(candidates), count, 0.6)]
    return f"; did you mean {' or '.join(filter(None, (', '.join(close[:-1]), close[-1])))}?" if close else ""


def some(names, count=3):
    """'a, b, c and 39 more'"""
    names = list(names)
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
