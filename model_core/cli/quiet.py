"""Keeps stderr for the lines of this command: what libraries say is not shown."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_PACKAGE = __package__.partition(".")[0]
_LEVELS = {"TORCH_CPP_LOG_LEVEL": "ERROR", "HF_HUB_VERBOSITY": "error"}
"""What other packages read when they are imported; a value that is set already stays."""


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, Python's warnings and the logs of other packages are not shown.

    Warnings that this package logs are: one line each, in the form of the command's own.
    """
    logger, root = logging.getLogger(_PACKAGE), logging.getLogger()
    ours, theirs = logging.StreamHandler(sys.stderr), logging.NullHandler()
    ours.setLevel(logging.WARNING)
    ours.setFormatter(logging.Formatter("encodec: %(message)s"))
    unset = {name: level for name, level in _LEVELS.items() if name not in os.environ}
    os.environ.update(unset)
    logger.addHandler(ours)
    root.addHandler(theirs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeHandler(theirs)
        logger.removeHandler(ours)
        for name in unset:
            os.environ.pop(name, None)
