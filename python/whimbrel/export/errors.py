"""What can go wrong in an export: one line that says where, what was found, what was expected and what to do."""

import difflib

# As whimbrel::ErrorCode and the exit codes of the `whimbrel` program: 2 usage or bad input, 3 fatal.
EXIT_CODES = {"invalid_argument": 2, "bad_manifest": 2, "not_found": 2, "unsupported": 2, "io": 3, "engine": 3, "internal": 3}


class ExportError(Exception):
    """The only exception that an export throws on purpose."""

    def __init__(self, code, message):
        super().__init__(" ".join(message.split()))
        self.code = code
        self.exit_code = EXIT_CODES[code]


def did_you_mean(word, candidates, count=1):
    """'; did you mean "a"?', '; did you mean "a", "b" or "c"?' or ''."""
    close = [f'"{name}"' for name in difflib.get_close_matches(word, list(candidates), count, 0.6)]
    return f"; did you mean {' or '.join(filter(None, (', '.join(close[:-1]), close[-1])))}?" if close else ""


def some(names, count=3):
    """'a, b, c and 39 more'"""
    names = list(names)
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
