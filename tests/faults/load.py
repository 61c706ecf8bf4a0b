"""`python -m tests.faults.load [--minutes 10] [--clients 64] [--keys] [--seed N]`.

Many clients post files of mixed sizes and kinds to a service of its own, one after another; one in
ten leaves in the middle, of its body or of its answer. Every answer must be 429, 503, or 200 with
the bytes that the service gives when it is quiet; `/health/live` is always answered, and memory
does not grow after the first minute. Prints what came back; ends with 1 where something did not
hold.
"""

import argparse
import collections
import contextlib
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import httpx

from tests.faults.target import Target, post_head, target
from tests.faults.watch import use_of
from tests.service.narrow import write_narrow_models
from tests.service.sounds import encoded, wav

_LEAVING = 0.1  # share of the requests
_REFUSALS = (429, 503)
_LONGEST_PAUSE = 5.0  # s after a refusal
_SAMPLE = 5.0  # s
_GROWTH = 1.1  # of memory
MB = 1_000_000


@dataclass(frozen=True)
class Request:
    """A call, its body, and the digest of the answer on a quiet service."""

    path: str
    body: bytes
    digest: bytes


def requests_of(service: Target, keys: Sequence[str]) -> list[Request]:
    """Each asked for once, alone."""
    made: list[Request] = []
    with service.client() as client:
        if keys:
            client.headers["X-API-Key"] = keys[0]

        def add(path: str, body: bytes) -> bytes:
            answer = client.post(path, content=body).raise_for_status()
            made.append(Request(path, body, sha256(answer.content).digest()))
            return answer.content

        for seconds in (0.2, 1.0, 3.0, 10.0, 30.0, 120.0):
            clip = wav(seconds)
            file = add("/compress", clip)
            add("/decompress", file)
            add("/roundtrip", clip)
        for name in ("flac", "mp3", "ogg", "m4a"):
            add("/compress", encoded(name, 8.0))
        add("/compress?lm=true&format=1", wav(4.0))
        add("/compress?model=encodec_48khz", wav(5.0, 48_000, 2))
        add("/codes", wav(2.0))
        add("/compress", wav(900.0))
    return made


class Load:
    """The clients, and what they have seen."""

    def __init__(
        self, service: Target, requests: Sequence[Request], keys: Sequence[str], clients: int
    ):
        self.service = service
        self.tally: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        self.stop = threading.Event()
        self._requests = requests
        self._keys = keys
        self._connect = threading.Barrier(clients)
        # Long ones are rarer.
        self._weights = [1 / (1 + len(request.body) / 200_000) for request in requests]

    def client(self, number: int, seed: int) -> None:
        """One client, until it is told to stop."""
        chance = random.Random(f"{seed}-{number}")
        headers = {"X-API-Key": self._keys[number % len(self._keys)]} if self._keys else {}
        client = httpx.Client(base_url=self.service.url, timeout=600, headers=headers, verify=False)
        with client:
            self._connect.wait()
            while not self.stop.is_set():
                request = chance.choices(self._requests, self._weights)[0]
                try:
                    if chance.random() < _LEAVING:
                        self._leave(request, headers, chance)
                    else:
                        self._ask(client, request)
                except Exception as error:  # noqa: BLE001  counted
                    self._note(f"{request.path} WRONG {type(error).__name__}: {error}")

    def _ask(self, client: httpx.Client, request: Request) -> None:
        answer = client.post(request.path, content=request.body)
        status = answer.status_code
        if status in _REFUSALS:
            self._note(f"{status} {answer.json()['code']}")
            self.stop.wait(min(_LONGEST_PAUSE, int(answer.headers["retry-after"])))
        elif status != 200:
            self._note(f"{request.path} WRONG {status}: {answer.text[:200]}")
        elif sha256(answer.content).digest() != request.digest:
            self._note(f"{request.path} WRONG bytes")
        else:
            self._note("200")

    def _leave(self, request: Request, headers: dict[str, str], chance: random.Random) -> None:
        """In the middle of the body, while it is worked on, or after some of the answer."""
        fields = [f"{name}: {value}" for name, value in headers.items()]
        head = post_head(request.path, *fields, length=len(request.body))
        sent = chance.choice([chance.randrange(len(request.body)), len(request.body)])
        with contextlib.suppress(OSError), self.service.connect(head) as connection:
            connection.sendall(request.body[:sent])
            time.sleep(chance.random())
            if sent == len(request.body) and chance.random() < 0.5:
                connection.recv(1000)
        self._note("left")

    def _note(self, found: str) -> None:
        self.tally[found[:60]] += 1
        if "WRONG" in found:
            self.wrong.append(found)


def run(service: Target, clients: int, seconds: float, seed: int, keys: Sequence[str]) -> bool:
    """Whether everything held."""
    load = Load(service, requests_of(service, keys), keys, clients)
    threads = [
        threading.Thread(target=load.client, args=(number, seed)) for number in range(clients)
    ]
    memory: list[int] = []
    before = service.use()
    began = time.monotonic()
    with service.watch() as watch:
        for thread in threads:
            thread.start()
        while time.monotonic() - began < seconds:
            time.sleep(_SAMPLE)
            memory.append(use_of(service.pid).memory)
        load.stop.set()
        for thread in threads:
            thread.join()
    print(f"{clients} clients, {time.monotonic() - began:.0f} s, seed {seed}")
    for found, count in sorted(load.tally.items()):
        print(f"  {count:7} {found}")
    print(f"/health/live: {len(watch.health)} probes, {watch.unanswered} unanswered, ", end="")
    late = sum(took > 0.1 for took in watch.health)
    print(f"p99 {1000 * watch.health_p99():.0f} ms, ", end="")
    print(f"longest {1000 * max(watch.health):.0f} ms, {late} over 100 ms")
    flat = _flat(memory)
    held = _left_over(service)
    print(f"memory {before.memory / MB:.0f} MB before; left over: {held:.0f}")
    for line in load.wrong[:20]:
        print("WRONG:", line)
    return not load.wrong and not watch.unanswered and flat and not held


def _flat(memory: Sequence[int]) -> bool:
    """Whether the later half of the time after the first minute takes about what the earlier does:
    a minute alone takes a tenth more or less, by what is sent in it."""
    minute = round(60 / _SAMPLE)
    minutes = [
        statistics.median(memory[start : start + minute])
        for start in range(0, len(memory) - minute + 1, minute)
    ]
    print("memory by the minute, MB:", " ".join(f"{value / MB:.0f}" for value in minutes))
    half = len(minutes) // 2 + 1
    if half < 3:
        return True
    return statistics.median(minutes[half:]) <= _GROWTH * statistics.median(minutes[1:half])


def _left_over(service: Target) -> float:
    """Permits, places and audio still held a while after the last request."""
    names = "encodec_permits_held", "encodec_requests_open", "encodec_queue_audio_seconds"
    for _ in range(60):
        held = sum(map(service.metric, names))
        if not held:
            break
        time.sleep(0.5)
    return held


def main() -> int:
    """0 where everything held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.load")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--keys", action="store_true", help="three keys that share the clients")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args()
    keys = ("a", "b", "c") if given.keys else ()
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder)
        write_narrow_models(weights)
        flags = ("--api-keys", ",".join(keys)) if keys else ()
        with target(weights, *flags) as service:
            held = run(service, given.clients, 60 * given.minutes, given.seed, keys)
    print("everything held" if held else "NOT everything held")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
