"""What can go wrong in a report: one line that says where, what was found, what was expected and what to do."""

from ..errors import Error


class ReportError(Error):
    """The only exception that a report throws on purpose."""
