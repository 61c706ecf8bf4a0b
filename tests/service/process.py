"""The server as a process of its own, for tests."""

import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.service.forks import Fork, fork_service
from tests.service.live import NO_TLS

SERVICE = [sys.executable, "-m", "service"]
"""The command of the service."""
FORK = ["fork", "service.__main__"]
"""Where any service will do that is a process of its own: a fork of one that has imported it."""
HELD_SERVICE = ["fork", "tests.service.held_service"]
"""One whose workers can be held, and killed; a fork too."""
PATIENCE = 60  # s


@dataclass
class Process:
    """A started server and the log lines it has written so far."""

    popen: "subprocess.Popen[str] | Fork"
    lines: list[str]
    reader: threading.Thread

    def port(self) -> int:
        """As soon as the log says it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and (self.popen.poll() is None or self.lines):
            for line in list(self.lines):
                found = re.search(r'"http://127\.0\.0\.1:(\d+)", "event": "listening"', line)
                if found:
                    return int(found[1])
            time.sleep(0.02)
        pytest.fail("the server logged no port: " + "\n".join(self.lines))

    @contextlib.contextmanager
    def ready(self) -> Iterator[httpx.Client]:
        """A client, once the server is ready."""
        url = f"http://127.0.0.1:{self.port()}"
        with httpx.Client(base_url=url, timeout=PATIENCE, verify=NO_TLS) as client:
            self.wait_for(lambda: client.get("/health/ready").status_code == 200)
            yield client

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Until `condition()` is true; fails where it does not become so in time."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if condition():
                    return
            time.sleep(0.05)
        pytest.fail("it did not happen in time: " + "\n".join(self.lines))

    def wait(self) -> int:
        """Its exit status."""
        status = self.popen.wait(PATIENCE)
        self.reader.join(PATIENCE)
        return status

    def logged(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines]


@contextlib.contextmanager
def started(command: Sequence[str], weights: Path, *flags: str) -> Iterator[Process]:
    """A server on a free port; it is killed at the end if it still runs."""
    options = ["--port", "0", "--device", "cpu", "--weights", str(weights), *flags]
    popen: subprocess.Popen[str] | Fork
    if command[0] == "fork":
        popen = fork_service(command[1], [*command[2:], *options])
    else:
        popen = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    lines: list[str] = []

    def read() -> None:
        for line in popen.stderr or ():
            lines.append(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield Process(popen, lines, reader)
    finally:
        popen.kill()
        popen.wait()
        reader.join(PATIENCE)
