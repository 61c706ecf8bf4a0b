"""What libraries say stays off stderr; what this package warns of is one line."""

import io
import logging
import os
import sys
import warnings

import pytest

from model_core.cli.quiet import quiet


def test_only_our_own_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    root, ours = logging.getLogger(), logging.getLogger("model_core")
    monkeypatch.setattr(root, "handlers", [])
    before = dict(os.environ), list(ours.handlers)
    with quiet():
        warnings.warn("out of date", FutureWarning, stacklevel=1)
        logging.getLogger("some.library").error("much ado")
        logging.getLogger("model_core.checkpoints").info("a detail")
        logging.getLogger("model_core.checkpoints").warning("using other weights")
    assert err.getvalue() == "encodec: using other weights\n"
    assert (dict(os.environ), ours.handlers) == before
    assert root.handlers == []
