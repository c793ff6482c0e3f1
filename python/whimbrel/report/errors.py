"""What can go wrong in a report: one line that says where, what was found, what was expected and what to do."""

# As whimbrel::ErrorCode and the exit codes of the `whimbrel` program: 2 usage or bad input, 3 fatal.
EXIT_CODES = {"invalid_argument": 2, "bad_input": 2, "not_found": 2, "unsupported": 2, "io": 3, "internal": 3}


class ReportError(Exception):
    """The only exception that a report throws on purpose."""

    def __init__(self, code, message):
        super().__init__(" ".join(message.split()))
        self.code = code
        self.exit_code = EXIT_CODES[code]
