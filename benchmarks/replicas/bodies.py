"""What is kept in memory of a large body sent fast, and of an answer that is read slowly."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from ..memory import tree_bytes
from .behind_proxy import BehindProxy
from .on_serve import OnServe
from .processes import family

_MIB = 1 << 20
_UPLOAD = 600 * _MIB
_HOUR = 3600 * 24_000 * 2  # bytes of PCM
_READING = 20.0  # s


def main(run: Callable[[int, list[str]], AbstractContextManager[BehindProxy | OnServe]]) -> int:
    """Print it; 0."""
    with run(1, ["--weights", "bundled"]) as running:
        pids = [running.pids[0], *_proxies(running)]
        print("MiB of replica and proxies at rest:", *_sizes(pids))
        early = _answered_early(running.url)
        print("an answer to a body that has not ended:", "at once" if early else "not in 10 s")
        peaks = [0.0] * len(pids)
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.1):
                peaks[:] = map(max, peaks, _sizes(pids))

        watching = threading.Thread(target=watch)
        watching.start()
        seconds = _upload(running.url)
        done.set()
        watching.join()
        print(f"600 MiB sent in {seconds:.1f} s; most MiB meanwhile:", *peaks)
        time.sleep(3)
        print("MiB after the client has left:", *_sizes(pids))
        _read_slowly(running.url)
        print("MiB while 172 MB of audio are read at 26 kB a second:", *_sizes(pids))
    return 0


def _proxies(running: BehindProxy | OnServe) -> list[int]:
    """Of all processes, those that carry requests to replicas."""
    found = [running.proxy.pid] if isinstance(running, BehindProxy) else family(running.ray.pid)
    return [pid for pid in found if _name(pid) in ("haproxy", "ray::ProxyActor")]


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _sizes(pids: list[int]) -> list[float]:
    return [round(tree_bytes(pid) / _MIB) for pid in pids]


def _connect(url: str, head: str, length: int) -> socket.socket:
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port or 80), timeout=300)
    request = f"POST {head}\r\nHost: encodec\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(request.encode())
    return connection


def _answered_early(url: str) -> bool:
    with _connect(url, "/decompress HTTP/1.1", 1_000_000) as connection:
        connection.sendall(b"no ecdc!" * 25_000)
        connection.settimeout(10)
        try:
            return connection.recv(12) == b"HTTP/1.1 400"
        except TimeoutError:
            return False


def _upload(url: str) -> float:
    """Seconds that it took."""
    head = (
        "/compress?model=encodec_24khz HTTP/1.1\r\nContent-Type: audio/L16; rate=48000; channels=2"
    )
    began = time.monotonic()
    with _connect(url, head, _UPLOAD + 1) as connection:
        for _ in range(_UPLOAD // _MIB):
            connection.sendall(bytes(_MIB))
        return time.monotonic() - began


def _read_slowly(url: str) -> None:
    """Ask for an hour of audio and read a little of it."""
    kind = {"Content-Type": "audio/L16; rate=24000; channels=1"}
    path = f"{url}/compress?model=encodec_24khz&bandwidth=1.5"
    file = httpx.post(path, content=bytes(_HOUR), headers=kind, timeout=600).raise_for_status()
    with _connect(url, "/decompress HTTP/1.1", len(file.content)) as connection:
        connection.sendall(file.content)
        deadline = time.monotonic() + _READING
        while time.monotonic() < deadline:
            connection.recv(1 << 16)
            time.sleep(2.5)
