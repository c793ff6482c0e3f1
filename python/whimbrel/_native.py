"""The C++ core, told how to raise errors and where its log lines go (logging's "whimbrel")."""

import logging

from . import _core
from .errors import Error

logger = logging.getLogger("whimbrel")
LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_core.setup(Error, lambda level, message: logger.log(LEVELS[level], message))
