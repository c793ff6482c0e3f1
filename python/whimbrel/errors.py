"""What whimbrel throws on purpose."""

# As whimbrel::ErrorCode and the exit codes of the `whimbrel` program: 2 usage or bad input, 3 fatal.
EXIT_CODES = {
    "invalid_argument": 2,
    "bad_manifest": 2,
    "bad_recording": 2,
    "not_found": 2,
    "unsupported": 2,
    "io": 3,
    "engine": 3,
    "cancelled": 3,
    "internal": 3,
}


class Error(Exception):
    """One line that says where, what was found, what was expected and what to do.

    @ivar code       "invalid_argument", "bad_manifest", "bad_recording", "not_found", "unsupported", "io", "engine",
                     "cancelled" or "internal": as in the JSON of the command
    @ivar exit_code  that of the command for such an error
    """

    def __init__(self, code: str, message: str):
        super().__init__(code, " ".join(message.split()))
        self.code = code
        self.exit_code = EXIT_CODES[code]

    def __str__(self):
        return self.args[1]
