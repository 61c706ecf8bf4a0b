"""The service under attack, and raw connections to it."""

import contextlib
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from tests.faults.watch import Use, Watch, children, cpu_seconds, descendants, use_of
from tests.service import live
from tests.service.process import PATIENCE, SERVICE, Process, started
from tests.service.sounds import wav

wait_for = partial(live.wait_for, seconds=PATIENCE)
"""Until a condition is true; fails where it does not become so within a minute, or `seconds`."""


@dataclass
class Target:
    """A running service."""

    process: Process
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self.process.popen.pid

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=PATIENCE, verify=live.NO_TLS)

    def get(self, path: str, timeout: float = 5) -> httpx.Response:
        """What a client of its own is answered within `timeout` seconds."""
        return httpx.get(self.url + path, timeout=timeout, verify=live.NO_TLS)

    def connect(self, sent: bytes = b"") -> socket.socket:
        """A new connection on which `sent` was sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        connection.sendall(sent)
        return connection

    def exchange(self, sent: bytes) -> bytes:
        """All that comes back until the service closes the connection."""
        with self.connect(sent) as connection:
            return received(connection)

    def watch(self) -> Watch:
        return Watch(self.pid, self.url)

    def use(self) -> Use:
        return use_of(self.pid)

    def metric(self, name: str) -> float:
        """The sum of all samples of that name."""
        text = self.get("/metrics", PATIENCE).text
        values = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, values))

    def wait_until_idle(self) -> None:
        """Until it is ready and has no request."""
        gauges = ("encodec_requests_open", "encodec_permits_held", "encodec_permits_waiting")
        wait_for(lambda: not any(map(self.metric, gauges)))
        answer = self.get("/health/ready", PATIENCE)
        assert answer.status_code == 200, answer.text

    def compress_works(self) -> None:
        """An ordinary clip is answered, with the bytes it always has."""
        with self.client() as client:
            answer = client.post("/compress", content=wav(0.3))
        assert answer.status_code == 200, answer.text
        assert answer.content[:4] == b"ECDC"

    def decoders(self) -> list[int]:
        """The pids of decoding children, in use or forked ahead."""
        return [pid for fork_server in self.fork_servers() for pid in children(fork_server)]

    def fork_servers(self) -> list[int]:
        """The pids of the processes whose children they are."""
        return children(self.pid)


@contextlib.contextmanager
def target(weights: Path, *flags: str, command: Sequence[str] = SERVICE) -> Iterator[Target]:
    """A service that is ready, started by `command`."""
    with started(command, weights, "--log-format", "json", *flags) as process:
        found = Target(process, process.port())
        with process.ready():
            pass
        yield found


def received(connection: socket.socket) -> bytes:
    """Everything up to the end of the connection, reset or closed."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(65_536):
            data += more
    return data


def post_head(path: str, *headers: str, length: int | None = None) -> bytes:
    """The head of a POST; chunked where no `length` is given."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = [f"POST {path} HTTP/1.1", "Host: test", framing, *headers, "", ""]
    return "\r\n".join(lines).encode()


@dataclass
class CpuUsed:
    """CPU seconds that a service and its decoders took in a block."""

    seconds: float = 0


@contextlib.contextmanager
def cpu_used(service: Target) -> Iterator[CpuUsed]:
    """Of everything that has ended within the block."""
    family = [service.pid, *descendants(service.pid)]
    before = sum(map(cpu_seconds, family))
    used = CpuUsed()
    yield used
    time.sleep(0.3)  # for the decoder to be waited for
    used.seconds = sum(map(cpu_seconds, family)) - before


def run(command: list[str]) -> str:
    """The output of a program that must succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
