"""Log lines, as a process writes them to stderr: those of the service and of its libraries."""

import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import logging, structlog, sys
from service import logs
logs.configure(sys.argv[1], sys.argv[2])
logger = structlog.get_logger("service.here")
logger.debug("too quiet")
logger.info("listening", port=8000)
logging.getLogger("library").warning("from %s", "elsewhere")
logging.getLogger("httpx").info("too chatty")
def fail(upload):
    raise ValueError("broken")
with structlog.contextvars.bound_contextvars(request_id="abc"):
    try:
        fail(upload="sent " + "in confidence")
    except ValueError:
        logger.exception("failed")
"""


def run(level: str, form: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, level, form], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    return done.stderr


def test_json_lines_carry_level_logger_time_and_request_id() -> None:
    lines: list[dict[str, Any]] = [json.loads(line) for line in run("info", "json").splitlines()]
    assert [line["event"] for line in lines] == ["listening", "from elsewhere", "failed"]
    assert [line["level"] for line in lines] == ["info", "warning", "error"]
    assert [line["logger"] for line in lines] == ["service.here", "library", "service.here"]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert lines[0]["port"] == 8000
    assert [line.get("request_id") for line in lines] == [None, None, "abc"]
    assert "ValueError: broken" in lines[2]["exception"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_tracebacks_hold_no_values_of_variables(form: str) -> None:
    """They would show what clients sent."""
    text = run("info", form)
    assert "ValueError: broken" in text
    assert "sent in confidence" not in text


def test_the_level_bounds_every_logger() -> None:
    assert "listening" not in run("warning", "console")
    assert "too quiet" in run("debug", "console")
