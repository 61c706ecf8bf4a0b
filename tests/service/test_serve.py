"""`encodec-serve`: how the server starts, answers, and ends, and its exit status."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_core import __version__
from model_core.engine.native import find_library
from service.api.models import ModelList
from service.http.problems import PROBLEM_JSON
from service.serve import serve
from service.settings import Settings
from tests.service.calls import compressed
from tests.service.held_service import RELEASE, WITH_DEVICE
from tests.service.process import FORK, HELD_SERVICE, PATIENCE, SERVICE, started
from tests.service.sounds import encoded, wav

LOGGING_PROGRAM = """
import logging, os, structlog, sys
from service.serve import configure_logs
for wanted in sys.argv[1:]:  # a process each, which need not import it all again
    if not (child := os.fork()):
        break
    os.waitpid(child, 0)
    print("----", file=sys.stderr, flush=True)
else:
    sys.exit()
configure_logs(*wanted.split())
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
sys.stderr.flush()
os._exit(0)
"""


def test_a_server_starts_answers_logs_and_ends_with_0(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCODEC_API_KEY", "misspelt")
    with started(SERVICE, weights, "--threads", "1") as process, process.ready() as client:
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
        assert f'encodec_build_info{{version="{__version__}"}} 1.0' in measured
        assert "encodec_ready 1.0" in measured
        assert client.get("/openapi.json").json()["openapi"].startswith("3.1")
        process.popen.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        found = [line for line in process.logged() if line.get("request_id") == "find-me"]
        assert len(found) == 1
        assert (found[0]["method"], found[0]["path"]) == ("GET", "/nothing/here")
        assert (found[0]["status"], found[0]["complete"]) == (404, True)
        warned = [line for line in process.logged() if line.get("variable") == "ENCODEC_API_KEY"]
        assert [(line["level"], line["advice"]) for line in warned] == [
            ("warning", "is it ENCODEC_API_KEYS?")
        ]


@pytest.mark.skipif(
    find_library() is None or not Path("/proc/self/maps").exists(),
    reason="without the native engine torch does the work; what is loaded, Linux says",
)
def test_torch_comes_in_with_the_first_call_for_a_language_model(weights: Path) -> None:
    with started(SERVICE, weights, "--device", "cpu") as process, process.ready() as client:
        loaded = Path(f"/proc/{process.popen.pid}/maps")
        for model in ("encodec_24khz", "encodec_48khz"):
            file = compressed(client, encoded("m4a"), model=model)
            assert client.post("/decompress", content=file).status_code == 200
        assert client.get("/models").json()["models"][0]["language_model"] is not None
        assert "libtorch" not in loaded.read_text()
        compressed(client, encoded("m4a"), lm=True)
        assert "libtorch" in loaded.read_text()


def test_a_busy_server_stays_ready_and_finishes_its_requests_when_stopped(weights: Path) -> None:
    with (
        started(HELD_SERVICE, weights, "--threads", "1") as process,
        process.ready() as client,
        ThreadPoolExecutor() as threads,
    ):
        holding = threads.submit(httpx.post, f"{client.base_url}/hold", timeout=PATIENCE)
        process.wait_for(lambda: holding.done() or client.get("/held").json())
        for path in ("/health/live", "/health/ready", "/models", "/metrics"):
            assert client.get(path).status_code == 200
        assert not holding.done()
        process.popen.send_signal(signal.SIGTERM)
        process.wait_for(lambda: _refuses_connections(process.port()))
        process.popen.send_signal(RELEASE)
        assert holding.result().json() is True
        assert process.wait() == 0


def _refuses_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_server_that_is_to_stop_later_is_not_ready_but_works(weights: Path) -> None:
    """So that a load balancer can take it out. SIGINT does not wait."""
    flags = ["--shutdown-delay", "600", "--threads", "1"]
    with started(FORK, weights, *flags) as process, process.ready() as client:
        expected = compressed(client, wav(0.3))
        process.popen.send_signal(signal.SIGTERM)
        process.wait_for(lambda: client.get("/health/ready").status_code == 503)
        assert client.get("/health/ready").json()["code"] == "shutting_down"
        assert client.get("/health/live").status_code == 200
        assert compressed(client, wav(0.3)) == expected
        with socket.create_connection(("127.0.0.1", process.port()), timeout=PATIENCE):
            pass
        process.popen.send_signal(signal.SIGINT)
        assert process.wait() == 128 + signal.SIGINT


def test_a_server_stops_when_its_delay_is_over(weights: Path) -> None:
    flags = ["--shutdown-delay", "1", "--threads", "1"]
    with started(FORK, weights, *flags) as process, process.ready():
        process.popen.send_signal(signal.SIGTERM)
        assert process.wait() == 0


def test_unfinished_requests_get_503_when_the_server_stops(weights: Path) -> None:
    """A waiting one at once; one that runs, when the grace period is over."""
    flags = ["--max-requests", "1", "--shutdown-grace", "2", "--threads", "1"]
    with (
        started(HELD_SERVICE, weights, *flags) as process,
        process.ready() as client,
        socket.create_connection(("127.0.0.1", process.port()), timeout=PATIENCE) as holding,
        socket.create_connection(("127.0.0.1", process.port()), timeout=PATIENCE) as working,
        socket.create_connection(("127.0.0.1", process.port()), timeout=PATIENCE) as waiting,
    ):
        holding.sendall(b"POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        process.wait_for(lambda: client.get("/held").json())
        head = f"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: {len(wav(0.3))}\r\n\r\n"
        for connection, gauge in ((working, "held"), (waiting, "waiting")):
            connection.sendall(head.encode() + wav(0.3))
            process.wait_for(partial(_metrics_have, client, f"encodec_permits_{gauge} 1.0"))
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
    with started(HELD_SERVICE, weights) as process, process.ready() as client:
        answer = client.post("/die")
        assert answer.status_code == 503
        assert answer.json()["code"] == "unavailable"
        assert "Retry-After" in answer.headers
        assert process.wait() == 1
        assert any(line["event"] == "a worker died" for line in process.logged())


def test_a_device_that_hangs_ends_the_process(weights: Path) -> None:
    """Its worker never returns."""
    with (
        started([*HELD_SERVICE, WITH_DEVICE], weights, "--step-timeout", "0.5") as process,
        process.ready() as client,
    ):
        answers = _at_once(2, lambda: client.post("/hang"))
        for answer in answers:
            assert answer.status_code == 503
            assert answer.json()["code"] == "unavailable"
        assert process.wait() == 1
        lost = [line for line in process.logged() if line["event"] == "the device is lost"]
        assert len(lost) == 1
        assert "0.5 s" in str(lost[0]["error"])


def test_a_blocked_event_loop_does_not_keep_a_failed_server_alive(weights: Path) -> None:
    with (
        started(HELD_SERVICE, weights, "--shutdown-grace", "1") as process,
        process.ready() as client,
        pytest.raises(httpx.TransportError),
    ):
        client.post("/die-and-block")
    assert process.wait() == 1
    assert any("in hang" in line for line in process.lines)  # the log shows where


def _at_once(count: int, call: Callable[[], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(count) as threads:
        return [future.result() for future in [threads.submit(call) for _ in range(count)]]


def test_models_that_cannot_be_loaded_end_the_process(tmp_path: Path) -> None:
    with started(SERVICE, tmp_path) as process:
        assert process.wait() == 1
        failure = [line for line in process.logged() if line["level"] == "critical"]
        assert len(failure) == 1
        assert str(tmp_path) in str(failure[0]["error"])
        assert "exception" not in failure[0]


def test_a_device_that_does_not_exist_is_exit_status_2() -> None:
    assert serve(Settings(device="cuda:99")) == 2


def test_a_folder_that_cannot_be_written_is_exit_status_2(tmp_path: Path) -> None:
    assert serve(Settings(port=0, device="cpu", spool_dir=tmp_path / "missing")) == 2


def test_an_address_in_use_is_exit_status_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert serve(Settings(device="cpu", port=taken.getsockname()[1])) == 1


def _metrics_have(client: httpx.Client, line: str) -> bool:
    return line in client.get("/metrics").text


@pytest.fixture(scope="module")
def logged() -> dict[str, str]:
    """What the program logs, by level and form."""
    wanted = ["info json", "info console", "warning console", "debug console"]
    done = subprocess.run(
        [sys.executable, "-c", LOGGING_PROGRAM, *wanted],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    *texts, rest = done.stderr.split("----\n")
    assert not rest
    return dict(zip(wanted, texts, strict=True))


def test_json_lines_carry_level_logger_time_and_request_id(logged: dict[str, str]) -> None:
    lines: list[dict[str, Any]] = [json.loads(line) for line in logged["info json"].splitlines()]
    assert [line["event"] for line in lines] == ["listening", "from elsewhere", "failed"]
    assert [line["level"] for line in lines] == ["info", "warning", "error"]
    assert [line["logger"] for line in lines] == ["service.here", "library", "service.here"]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert lines[0]["port"] == 8000
    assert [line.get("request_id") for line in lines] == [None, None, "abc"]
    assert "ValueError: broken" in lines[2]["exception"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_tracebacks_hold_no_values_of_variables(logged: dict[str, str], form: str) -> None:
    """They would show what clients sent."""
    text = logged[f"info {form}"]
    assert "ValueError: broken" in text
    assert "sent in confidence" not in text


def test_the_level_bounds_every_logger(logged: dict[str, str]) -> None:
    assert "listening" not in logged["warning console"]
    assert "too quiet" in logged["debug console"]
