"""HAProxy with the file of `deploy/proxy` before real replicas that come and go."""

import http.client
import json
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.sync.client import connect

from benchmarks.memory import tree_bytes
from benchmarks.replicas.behind_proxy import CONFIGURATION, BehindProxy, behind_proxy, haproxy
from benchmarks.replicas.clients import mixed_requests, send
from benchmarks.replicas.names import answer
from tests.deploy.ports import free_ports
from tests.service.live import NO_TLS, wait_for
from tests.service.process import PATIENCE
from tests.service.sounds import wav

MIB = 1 << 20


def running(weights: Path, log: Path) -> AbstractContextManager[BehindProxy]:
    """Two replicas behind the proxy."""
    flags = ["--weights", str(weights), "--device", "cpu", "--threads", "1"]
    flags += ["--models", "encodec_24khz", "--shutdown-delay", "4"]
    return behind_proxy(2, free_ports(4), log, flags)


@pytest.fixture(scope="module")
def shared(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BehindProxy]:
    """For all tests."""
    with running(weights, tmp_path_factory.mktemp("log")) as found:
        yield found


@pytest.fixture
def behind(shared: BehindProxy) -> Iterator[BehindProxy]:
    """The same for tests in which replicas come and go; afterwards there are two again."""
    wait_for(lambda: up(shared) == 2)
    yield shared
    gone = [replica.popen.poll() is not None for replica in shared.replicas]
    for number in reversed([number for number, is_gone in enumerate(gone) if is_gone]):
        del shared.replicas[number], shared.names.addresses[number]
    while len(shared.replicas) < 2:
        shared.add()


def replicas(behind: BehindProxy) -> list[str]:
    """Their URLs."""
    return [behind.url_of(address) for address in behind.names.addresses]


def metrics(url: str) -> str:
    return httpx.get(f"{url}/metrics", verify=NO_TLS).text


def up(behind: BehindProxy) -> int:
    """Replicas that the proxy sends requests to."""
    text = metrics(behind.administration)
    states = r'haproxy_server_status\{proxy="replicas",server="[^"]+",state="UP"\} (\d)'
    return sum(map(int, re.findall(states, text)))


def served(behind: BehindProxy) -> list[float]:
    """Requests that each replica has answered, but for those of health."""
    found = []
    for url in replicas(behind):
        text = metrics(url)
        lines = re.findall(r'^encodec_requests_total\{.*route="/compress".*\} (\S+)$', text, re.M)
        found.append(sum(map(float, lines)))
    return found


def test_the_file_is_valid() -> None:
    done = subprocess.run(
        [haproxy(), "-c", "-f", str(CONFIGURATION)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


def test_a_name_has_all_addresses() -> None:
    """What the name server of these tests says to a question of HAProxy's kind."""
    question = b"\x07encodec\x04test\x00\x00\x01\x00\x01"
    said = answer(b"ab\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + question, ["127.0.92.1"])
    assert said[:2] == b"ab"
    assert said[6:8] == b"\x00\x01"
    assert said.endswith(b"\x00\x04" + bytes([127, 0, 92, 1]))


def test_requests_go_where_the_fewest_are(shared: BehindProxy) -> None:
    file = wav(0.5)
    wait_for(lambda: up(shared) == 2)
    before = served(shared)
    with ExitStack() as stack:
        for _ in range(4):  # open requests, two at each replica
            connection = stack.enter_context(socket.create_connection(shared.address))
            connection.sendall(b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n")
        wait_for(lambda: open_requests(shared) == [2, 2])
        answers = {posted(shared, file) for _ in range(6)}
    assert len(answers) == 1
    assert all(now > then for now, then in zip(served(shared), before, strict=True))


def posted(behind: BehindProxy, file: bytes) -> bytes:
    """The answer of a client of its own."""
    return httpx.post(f"{behind.url}/compress", content=file, verify=NO_TLS).content


def open_requests(behind: BehindProxy) -> list[float]:
    found = []
    for url in replicas(behind):
        text = metrics(url)
        (value,) = re.findall(r"^encodec_requests_open (\S+)$", text, re.M)
        found.append(float(value))
    return found


def test_bodies_are_not_collected(shared: BehindProxy) -> None:
    """An answer comes before the end of the body, and a large body leaves the proxy small."""
    broken = b"no ecdc!" * 25_000
    with socket.create_connection(shared.address, timeout=PATIENCE) as connection:
        head = b"POST /decompress HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
        connection.sendall(head + broken)
        said = http.client.HTTPResponse(connection)
        said.begin()
        assert said.status == 400
        assert json.loads(said.read())["code"] == "broken_ecdc"
    before = tree_bytes(shared.proxy.pid)
    kind = {"Content-Type": "audio/L16; rate=48000; channels=2"}

    def body() -> Iterator[bytes]:
        for _ in range(48):
            yield bytes(MIB)
            assert tree_bytes(shared.proxy.pid) < before + 16 * MIB

    done = httpx.post(f"{shared.url}/compress", content=body(), headers=kind, timeout=PATIENCE)
    assert done.status_code == 200


def test_problems_and_websockets_pass(shared: BehindProxy) -> None:
    missing = httpx.get(f"{shared.url}/nothing", headers={"X-Request-ID": "find-me"})
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert missing.headers["X-Request-ID"] == "find-me"
    with connect(f"{shared.url.replace('http', 'ws')}/live/compress?model=encodec_24khz") as stream:
        stream.send(bytes(24_000 * 2))
        assert stream.recv(timeout=PATIENCE)


def test_a_replica_that_stops_gets_no_more_and_finishes_what_it_has(behind: BehindProxy) -> None:
    file = wav(0.5)
    expected = posted(behind, file)
    wait_for(lambda: up(behind) == 2)
    leaving = behind.replicas[0]
    direct = urlsplit(replicas(behind)[0])
    slow = f"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: {len(file)}\r\n\r\n".encode()
    with socket.create_connection((direct.hostname, direct.port), timeout=PATIENCE) as connection:
        connection.sendall(slow + file[:1000])
        leaving.popen.send_signal(signal.SIGTERM)
        wait_for(lambda: up(behind) == 1)
        assert leaving.popen.poll() is None
        for _ in range(5):
            assert posted(behind, file) == expected
        connection.sendall(file[1000:])
        said = http.client.HTTPResponse(connection)
        said.begin()
        assert said.status == 200
        assert said.read() == expected
    assert leaving.popen.wait(PATIENCE) == 0


def test_no_replica_is_503_and_one_that_comes_is_found(behind: BehindProxy) -> None:
    for replica in behind.replicas:
        replica.popen.kill()
    wait_for(lambda: up(behind) == 0)
    assert httpx.get(f"{behind.url}/models").status_code == 503
    assert httpx.get(f"{behind.administration}/health/ready", verify=NO_TLS).status_code == 503
    behind.names.addresses.clear()
    behind.replicas.clear()
    behind.add()
    wait_for(
        lambda: httpx.get(f"{behind.administration}/health/ready", verify=NO_TLS).status_code == 200
    )
    assert httpx.get(f"{behind.url}/models").status_code == 200


@pytest.mark.timeout(300)
def test_all_replicas_are_replaced_without_a_failed_request(behind: BehindProxy) -> None:
    requests = [r for r in mixed_requests(behind.url) if len(r.body) < MIB // 8]
    ended = threading.Event()

    with ThreadPoolExecutor(1) as threads:
        load = threads.submit(send, behind.url, requests, 6, ended.is_set, pause=0.5)
        old = set(behind.pids)
        try:
            behind.update()
        finally:
            ended.set()
        tally = load.result()
    assert tally.wrong == []
    assert tally.counts["right"]
    assert len(behind.pids) == 2
    assert not old & set(behind.pids)
