"""The long form: `python -m tests.faults [--requests 10000] [--seed N] [--clients 8]`.

Thousands of hostile requests from several clients at once: broken media files and `.ecdc`, broken
HTTP, clients that are slow and that leave, and requests generated from the OpenAPI document, whose
answers must be ones that it describes. Meanwhile an ordinary clip must always be answered with the
same bytes. Prints what came back, what the service used, and what was left over; ends with 1 where
something did not hold. `--squeeze` (as root, cgroups version 1) then sends 64 MP4 files at once,
with a table of 20 million entries each, to a service that may use 4 GB.
"""

import argparse
import collections
import contextlib
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
from schemathesis import GenerationMode

from tests.faults.media import media_files
from tests.faults.target import Target, post_head, target
from tests.faults.watch import Use
from tests.service.calls import compressed
from tests.service.end_to_end.generated import send_generated
from tests.service.narrow import write_narrow_models
from tests.service.process import SERVICE
from tests.service.sounds import wav

CASES = Path(__file__).with_name("cases")
EXPECTED = {200, 400, 401, 404, 405, 406, 408, 409, 413, 415, 422, 429, 503, 504, 507}
MB = 1_000_000

Attack = Callable[[Target, random.Random], str]


def broken_media(files: list[bytes]) -> Attack:
    """A mutant of an audio file to one of the calls that take audio."""

    def attack(service: Target, chance: random.Random) -> str:
        path = chance.choice(["/compress", "/compress", "/roundtrip", "/codes"])
        return _post(service, path, mutant(chance.choice(files), chance))

    return attack


def broken_ecdc(files: list[bytes], whole: dict[bytes, bytes]) -> Attack:
    """A mutant of an `.ecdc` file to one of the calls that take it. One of version 1 must be
    refused or give what the file gives: `whole` says what each of these decompresses to."""

    def attack(service: Target, chance: random.Random) -> str:
        path = chance.choice(["/decompress", "/decompress", "/inspect", "/transcode?bandwidth=1.5"])
        file = chance.choice(files)
        body = mutant(file, chance)
        found = _post(service, path, body)
        if file in whole and path == "/decompress" and found.endswith(" 200"):
            with service.client() as client:
                if client.post(path, content=body).content != whole[file]:
                    return f"{path} WRONG audio of a damaged file"
        return found

    return attack


def broken_http(service: Target, chance: random.Random) -> str:
    """A request that is none."""
    body = bytes(chance.randrange(256) for _ in range(chance.randrange(200)))
    path = b"a/../" * chance.randrange(9000)
    requests = [
        body,
        b"GET / HTTP/" + body[:3] + b"\r\n\r\n",
        post_head("/compress", length=chance.randrange(10**12)) + body,
        post_head("/compress") + body + b"\r\n",
        post_head("/compress") + b"ffffffffffffffff\r\n" + body,
        post_head("/compress") + b"1\r\nx\r\n" * 2000 + b"0\r\n\r\n",
        post_head("/compress", "Content-Length: 3", length=5) + body,
        post_head("/compress", "Transfer-Encoding: chunked", length=5) + body,
        b"GET /" + path + b" HTTP/1.1\r\nHost: t\r\n\r\n",
        b"X" * chance.randrange(70_000),
    ]
    with service.connect() as connection, contextlib.suppress(OSError):
        connection.settimeout(chance.choice([0.01, 1.0]))
        connection.sendall(chance.choice(requests))
        connection.shutdown(1)
        connection.recv(1000)
    return "broken HTTP"


def slow(service: Target, chance: random.Random) -> str:
    """A client that sends or reads a little and waits."""
    file = wav(1.0)
    with service.connect(post_head("/roundtrip", length=len(file))) as connection:
        for start in range(0, chance.randrange(len(file)), len(file) // 5):
            with contextlib.suppress(OSError):
                connection.sendall(file[start : start + len(file) // 5])
            time.sleep(chance.random() / 5)
    return "slow"


def leaving(service: Target, chance: random.Random) -> str:
    """A client that leaves while it is answered."""
    file = wav(chance.choice([0.2, 3.0]))
    with service.connect(post_head("/roundtrip", length=len(file)) + file) as connection:
        connection.settimeout(chance.random() / 10)
        with contextlib.suppress(OSError):
            connection.recv(chance.choice([1, 5000]))
    return "leaving"


def mutant(file: bytes, chance: random.Random) -> bytes:
    """`file` with bytes changed, taken out, doubled, set to extremes, or cut off."""
    data = bytearray(file)
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        place = chance.randrange(len(data) or 1)
        end = place + chance.choice([1, 1, 2, 4, 8, 100])
        kind = chance.randrange(6)
        if kind == 0:
            data[place:end] = bytes(chance.randrange(256) for _ in range(end - place))
        elif kind == 1:
            data[place:end] = chance.choice([b"\xff", b"\x00", b"\x7f"]) * (end - place)
        elif kind == 2:
            del data[place:end]
        elif kind == 3:
            data[place:place] = data[place:end]
        elif kind == 4:
            del data[chance.randrange(len(data) + 1) :]
        elif data:
            data[place % len(data)] ^= 1 << chance.randrange(8)
    return bytes(data)


def _post(service: Target, path: str, body: bytes) -> str:
    with httpx.Client(base_url=service.url, timeout=120) as client:
        try:
            answer = client.post(path, content=body)
        except httpx.RemoteProtocolError:
            return f"{path} cut off"  # an answer that had begun
    if answer.status_code not in EXPECTED:
        return f"{path} WRONG {answer.status_code}"
    return f"{path.partition('?')[0]} {answer.status_code}"


def attack_all(service: Target, requests: int, clients: int, seed: int) -> bool:
    """Whether everything held."""
    clip = wav(0.3)
    with service.client() as client:
        kinds: list[dict[str, str]] = [{}, {"model": "encodec_48khz"}, {"lm": "true"}]
        ecdc = [compressed(client, clip, **kind) for kind in kinds]
        chunked = [compressed(client, clip, **kind, format="1") for kind in kinds]
        whole = {file: client.post("/decompress", content=file).content for file in chunked}
    attacks: list[Attack] = [
        *4 * [broken_media(media_files())],
        *3 * [broken_ecdc(ecdc + chunked, whole)],
        *(broken_http, slow, leaving),
    ]
    tally: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    before = service.use()
    stop = threading.Event()

    def ordinary() -> None:
        while not stop.wait(0.2):
            with service.client() as client:
                answer = client.post("/compress", content=clip)
            if answer.status_code == 200 and answer.content != ecdc[0]:
                wrong.append("an ordinary clip has other bytes")
            tally[f"ordinary {answer.status_code}"] += 1

    def one(number: int) -> None:
        chance = random.Random(f"{seed}-{number}")
        try:
            found = chance.choice(attacks)(service, chance)
        except Exception as error:  # noqa: BLE001  counted
            found = f"ERROR {type(error).__name__}"
        tally[found] += 1
        if "WRONG" in found or "ERROR" in found:
            wrong.append(f"{found} (request {number})")

    def generated(mode: GenerationMode) -> None:
        try:
            tried = send_generated(service.url, [clip], ecdc, mode, -(-requests // 150), seed)
        except BaseException as error:  # noqa: BLE001  shown: hypothesis raises groups
            wrong.append(f"generated, {mode.value}: {error!r:.2000}")
        else:
            for path, answers in tried.items():
                for status, count in answers.items():
                    tally[f"generated, {path} {status}"] += count

    began = time.monotonic()
    with service.watch() as watch:
        other = threading.Thread(target=ordinary)
        other.start()
        with ThreadPoolExecutor(clients) as pool:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                pool.submit(generated, mode)
            for number in range(requests):
                pool.submit(one, number)
        stop.set()
        other.join()
    seconds = time.monotonic() - began
    after = _settled(service, before)
    print(f"{requests} requests in {seconds:.0f} s, seed {seed}")
    for kind, count in sorted(tally.items()):
        print(f"  {count:6} {kind}")
    health = f"p99 {1000 * watch.health_p99():.0f} ms, longest {1000 * max(watch.health):.0f} ms"
    print(f"/health/live: {len(watch.health)} probes, {watch.unanswered} unanswered, {health}")
    print(f"memory {before.memory / MB:.0f} -> {after.memory / MB:.0f} MB, peak ", end="")
    print(f"{watch.peak.memory / MB:.0f} ({watch.peak.children / MB:.0f} of decoders)")
    print(f"descriptors {before.descriptors} -> {after.descriptors}, ", end="")
    print(f"processes {before.processes} -> {after.processes}, ", end="")
    held = service.metric("encodec_permits_held") + service.metric("encodec_requests_open")
    print(f"permits and open requests left {held:.0f}")
    for line in wrong[:20]:
        print("WRONG:", line)
    left = after.descriptors > before.descriptors + 3 or after.processes > before.processes or held
    return not wrong and not left and not watch.unanswered


def _settled(service: Target, before: Use) -> Use:
    """What is used once all has ended, 60 s later at most."""
    deadline = time.monotonic() + 60
    while True:
        now = service.use()
        same = now.descriptors <= before.descriptors and now.processes <= before.processes
        if same or time.monotonic() > deadline:
            return now
        time.sleep(0.5)


def squeeze(weights: Path) -> bool:
    """64 uploads that want 740 MB each, to a service that has 4 GB."""
    file = (CASES / "mp4-index-20M-samples.m4a").read_bytes() + bytes(3 * MB)
    with _limited(4_000 * MB) as prefix, target(weights, command=[*prefix, *SERVICE]) as service:
        with service.watch() as watch, ExitStack() as stack:
            for _ in range(64):
                head = post_head("/compress", length=2 * len(file))
                with contextlib.suppress(OSError):
                    stack.enter_context(service.connect(head + file))
            for _ in range(5):
                service.compress_works()
        lives = service.process.popen.poll() is None
        peak = f"{watch.peak.memory / MB:.0f} MB, {watch.peak.children / MB:.0f} of decoders"
        print(f"64 uploads of 20 million entries, 4 GB: lives {lives}, peak {peak}")
        return lives


@contextlib.contextmanager
def _limited(limit: int) -> Iterator[tuple[str, ...]]:
    """A command that runs another within a group that may use so many bytes of memory."""
    group = Path(f"/sys/fs/cgroup/memory/encodec-{os.getpid()}")
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(limit))
        script = f'echo $$ > {group}/cgroup.procs; exec "$0" "$@"'
        yield ("sh", "-c", script)
    finally:
        for _ in range(100):
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.1)


def main() -> int:
    """0 where everything held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--squeeze", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder)
        write_narrow_models(weights)
        with target(weights) as service:
            held = attack_all(service, given.requests, given.clients, given.seed)
        if given.squeeze:
            held = squeeze(weights) and held
    print("everything held" if held else "NOT everything held")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
