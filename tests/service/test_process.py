"""The server as a process of its own: how it starts, answers, and ends."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest

from service.__main__ import serve
from service.api.models import ModelList
from service.http.problems import PROBLEM_JSON
from service.settings import Settings

_SERVICE = [sys.executable, "-m", "service"]
_HELD = [sys.executable, str(Path(__file__).with_name("inference") / "held_service.py")]
_PATIENCE = 60  # s


@dataclass
class Process:
    """A started server and the log lines it has written so far."""

    popen: "subprocess.Popen[str]"
    lines: list[str]
    reader: threading.Thread

    def port(self) -> int:
        """As soon as its log says it."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and (self.popen.poll() is None or self.lines):
            for line in list(self.lines):
                found = re.search(r'"http://127\.0\.0\.1:(\d+)", "event": "listening"', line)
                if found:
                    return int(found[1])
            time.sleep(0.02)
        pytest.fail("the server said no port: " + "\n".join(self.lines))

    @contextlib.contextmanager
    def ready(self) -> Iterator[httpx.Client]:
        """A client, once the server is ready."""
        url = f"http://127.0.0.1:{self.port()}"
        with httpx.Client(base_url=url, timeout=_PATIENCE) as client:
            self.wait_for(lambda: client.get("/health/ready").status_code == 200)
            yield client

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Fails when `condition()` does not become true."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if condition():
                    return
            time.sleep(0.05)
        pytest.fail("it did not happen in time: " + "\n".join(self.lines))

    def wait(self) -> int:
        """Its exit status."""
        status = self.popen.wait(_PATIENCE)
        self.reader.join(_PATIENCE)
        return status

    def logged(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines]


@contextlib.contextmanager
def started(command: list[str], weights: Path, *flags: str) -> Iterator[Process]:
    options = ["--port", "0", "--device", "cpu", "--weights", str(weights), *flags]
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
        reader.join(_PATIENCE)


def test_a_whole_life(weights: Path) -> None:
    with started(_SERVICE, weights, "--threads", "1") as process, process.ready() as client:
        assert client.get("/health/live").json() == {"status": "ok"}
        listed = ModelList.model_validate_json(client.get("/models").content)
        assert [m.name for m in listed.models] == ["encodec_24khz", "encodec_48khz"]
        assert all(m.ready for m in listed.models)
        missing = client.get("/nothing/here", headers={"X-Request-ID": "find-me"})
        assert (missing.status_code, missing.headers["Content-Type"]) == (404, PROBLEM_JSON)
        wrong = client.post("/models")
        assert (wrong.status_code, wrong.headers["Content-Type"]) == (405, PROBLEM_JSON)
        assert wrong.headers["Allow"] == "GET, HEAD"
        measured = client.get("/metrics").text
        for model in ("encodec_24khz", "encodec_48khz"):
            assert f'encodec_model_ready{{model="{model}"}} 1.0' in measured
        assert "process_resident_memory_bytes" in measured
        assert client.get("/openapi.json").json()["openapi"].startswith("3.1")
        process.popen.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        found = [line for line in process.logged() if line.get("request_id") == "find-me"]
        assert len(found) == 1
        assert (found[0]["method"], found[0]["path"]) == ("GET", "/nothing/here")
        assert (found[0]["status"], found[0]["complete"]) == (404, True)


def test_alive_and_ready_while_every_worker_is_busy_and_then_a_clean_end(weights: Path) -> None:
    with started(_HELD, weights, "--threads", "1") as process, process.ready() as client:
        answers: list[httpx.Response] = []
        holding = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{client.base_url}/hold", timeout=_PATIENCE))
        )
        holding.start()
        process.wait_for(lambda: client.get("/held").json())
        for path in ("/health/live", "/health/ready", "/models", "/metrics"):
            assert client.get(path).status_code == 200
        assert not answers
        # told to stop, it takes nobody new but finishes what it has begun
        process.popen.send_signal(signal.SIGTERM)
        client.post("/release")
        holding.join(_PATIENCE)
        assert [answer.json() for answer in answers] == [True]
        assert process.wait() == 0


def test_who_is_not_done_when_it_stops_is_told_so(weights: Path) -> None:
    """One request that waits for its turn, at once; one that is worked on, after its grace."""
    flags = ["--max-requests", "1", "--shutdown-grace", "2", "--threads", "1"]
    with (
        started(_SERVICE, weights, *flags) as process,
        process.ready() as client,
        socket.create_connection(("127.0.0.1", process.port()), timeout=_PATIENCE) as working,
        socket.create_connection(("127.0.0.1", process.port()), timeout=_PATIENCE) as waiting,
    ):
        upload = b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nRIFF"
        for connection, gauge in ((working, "held"), (waiting, "waiting")):
            connection.sendall(upload)
            process.wait_for(partial(_says, client, f"encodec_permits_{gauge} 1.0"))
        process.popen.send_signal(signal.SIGTERM)
        for connection in (waiting, working):
            answer = HTTPResponse(connection)
            answer.begin()
            assert answer.status == 503
            assert answer.headers["Content-Type"] == PROBLEM_JSON
            assert answer.headers["Retry-After"]
            assert len(answer.headers["X-Request-ID"]) == 32
            assert json.loads(answer.read())["code"] == "shutting_down"
        assert process.wait() == 0
        assert not any("exception" in line for line in process.logged())


def test_a_worker_that_dies_ends_the_process(weights: Path) -> None:
    with started(_HELD, weights) as process, process.ready() as client:
        answer = client.post("/die")
        assert answer.status_code == 503
        assert answer.json()["code"] == "unavailable"
        assert "Retry-After" in answer.headers
        assert process.wait() == 1
        assert any(line["event"] == "a worker died" for line in process.logged())


def test_a_device_that_hangs_ends_the_process(weights: Path) -> None:
    """The worker that waits for it never comes back."""
    with started(_HELD, weights, "--step-timeout", "0.5") as process, process.ready() as client:
        answers = _at_once(2, lambda: client.post("/hang"))
        for answer in answers:
            assert answer.status_code == 503
            assert answer.json()["code"] == "unavailable"
        assert process.wait() == 1
        lost = [line for line in process.logged() if line["event"] == "the device is lost"]
        assert len(lost) == 1
        assert "0.5 s" in str(lost[0]["error"])


def test_a_process_that_cannot_end_as_it_should_ends_all_the_same(weights: Path) -> None:
    with (
        started(_HELD, weights, "--shutdown-grace", "1") as process,
        process.ready() as client,
        pytest.raises(httpx.TransportError),
    ):
        client.post("/die-and-block")
    assert process.wait() == 1
    assert any("in hang" in line for line in process.lines)  # it says where


def _at_once(count: int, call: Callable[[], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(count) as threads:
        return [future.result() for future in [threads.submit(call) for _ in range(count)]]


def test_models_that_cannot_be_loaded_end_the_process(tmp_path: Path) -> None:
    with started(_SERVICE, tmp_path) as process:
        assert process.wait() == 1
        failure = [line for line in process.logged() if line["level"] == "critical"]
        assert len(failure) == 1
        assert str(tmp_path) in str(failure[0]["error"])
        assert "exception" not in failure[0]


def test_a_device_that_is_not_here_is_exit_status_2() -> None:
    assert serve(Settings(device="cuda:99")) == 2


def test_a_folder_that_cannot_be_written_is_exit_status_2(tmp_path: Path) -> None:
    assert serve(Settings(port=0, device="cpu", spool_dir=tmp_path / "missing")) == 2


def test_an_address_that_is_taken_is_exit_status_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert serve(Settings(device="cpu", port=taken.getsockname()[1])) == 1


def _says(client: httpx.Client, line: str) -> bool:
    return line in client.get("/metrics").text
