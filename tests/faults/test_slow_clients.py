"""Clients that send or read a few bytes now and then, to hold what others need."""

import dataclasses
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from model_core.config import CONFIGS
from model_core.ecdc import parse_model_name, payload_bytes, read_header
from tests.faults.target import Target, post_head, received, wait_for
from tests.service.calls import compressed, refused
from tests.service.process import PATIENCE
from tests.service.sounds import wav

FEW = ("--max-requests", "4", "--max-waiting", "4")
LIMITS = (*FEW, "--admission-timeout", "5")


def test_bodies_that_trickle_do_not_keep_others_out(share: Callable[..., Target]) -> None:
    service = share(*LIMITS)
    with ExitStack() as stack:
        for _ in range(16):
            connection = stack.enter_context(service.connect(post_head("/compress", length=10**6)))
            connection.sendall(wav(1.0)[:200])
        time.sleep(1)
        for _ in range(5):
            service.compress_works()


def test_uploads_that_pause_after_a_good_start_do_not_keep_others_out(
    share: Callable[..., Target],
) -> None:
    service = share(*LIMITS)
    file = wav(6.0)
    with ExitStack() as stack:
        for _ in range(8):
            connection = stack.enter_context(
                service.connect(post_head("/compress", length=len(file)))
            )
            connection.sendall(file[: len(file) // 2])
        time.sleep(2)
        for _ in range(5):
            service.compress_works()


def test_an_upload_that_paused_is_finished_when_it_goes_on(share: Callable[..., Target]) -> None:
    service = share(*LIMITS)
    file = wav(20.0)
    with service.client() as client:
        expected = client.post("/compress", content=file).content
    with service.connect(post_head("/compress", "Connection: close", length=len(file))) as slow:
        slow.sendall(file[: len(file) // 2])
        time.sleep(2)
        assert service.metric("encodec_permits_held") == 0
        slow.sendall(file[len(file) // 2 :])
        answer = received(slow)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(expected)


def test_readers_of_a_few_bytes_do_not_keep_others_out(start: Callable[..., Target]) -> None:
    # Until their buffers are full, the readers cost work, which takes seconds on a slow machine.
    service = start(*FEW, "--admission-timeout", "20")
    long = _long_file(service, 600)
    with ExitStack() as stack:
        for _ in range(6):
            connection = stack.enter_context(_narrow_connection(service))
            connection.sendall(post_head("/decompress", length=len(long)) + long)
            connection.recv(100)
        for _ in range(5):
            service.compress_works()


def test_a_body_below_the_least_rate_is_refused(start: Callable[..., Target]) -> None:
    service = start("--min-rate", "1000", "--rate-window", "2")
    head = post_head("/compress", "Connection: close", length=10**6)
    with service.connect(head) as connection:
        stop = threading.Event()

        def trickle() -> None:
            while not stop.wait(0.2):
                try:
                    connection.sendall(b"x" * 10)
                except OSError:
                    return

        sender = threading.Thread(target=trickle)
        sender.start()
        try:
            answer = b""
            while b"client_too_slow" not in answer and (more := connection.recv(65_536)):
                answer += more
        finally:
            stop.set()
            sender.join()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"client_too_slow" in answer


PLACES = 4
PATIENT = (
    *("--max-open", str(PLACES), "--max-live", "2", "--read-timeout", "600"),
    *("--write-timeout", "600", "--rate-window", "600"),
)
"""Few places, and time-outs that free none of them during a test."""


@pytest.mark.parametrize("begun", [0, 200])
def test_bodies_that_do_not_come_keep_nobody_out(share: Callable[..., Target], begun: int) -> None:
    service = share(*PATIENT)
    head = post_head("/compress", "Connection: close", length=10**6)
    with ExitStack() as stack:
        for _ in range(PLACES):
            stack.enter_context(service.connect(head + wav(1.0)[:begun]))
        wait_for(lambda: service.metric("encodec_requests_open") == PLACES)
        wait_for(lambda: _is_answered(service))
        service.compress_works()  # in the same place
        assert service.metric("encodec_requests_open") == PLACES - 1


def test_live_sources_that_send_nothing_keep_no_other_out(share: Callable[..., Target]) -> None:
    service = share(*PATIENT)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(service.connect(post_head("/compress?live=true", length=10**6)))
        wait_for(lambda: service.metric("encodec_requests_open") == 2)
        wait_for(lambda: _is_answered(service, "/compress?live=true"))


def test_answers_that_nobody_reads_keep_nobody_out(share: Callable[..., Target]) -> None:
    service = share(*PATIENT)
    long = _long_file(service, 900)
    with ExitStack() as stack:
        for _ in range(PLACES):
            connection = stack.enter_context(_narrow_connection(service))
            connection.sendall(post_head("/decompress", length=len(long)) + long)
        wait_for(lambda: service.metric("encodec_requests_open") == PLACES)
        wait_for(lambda: _is_answered(service))


def test_an_upload_that_keeps_the_least_rate_keeps_its_place(start: Callable[..., Target]) -> None:
    service = start("--max-open", "1")
    file = wav(20.0)
    with service.connect(post_head("/compress", "Connection: close", length=len(file))) as slow:
        slow.sendall(file[: len(file) // 2])
        time.sleep(2)
        with service.client() as client:
            refused(client.post("/compress", content=file), 429, "busy")
        slow.sendall(file[len(file) // 2 :])
        assert received(slow).startswith(b"HTTP/1.1 200")


def test_the_client_that_loses_its_place_is_told(start: Callable[..., Target]) -> None:
    service = start("--max-open", "1", "--rate-window", "600", "--read-timeout", "600")
    head = post_head("/compress", "Connection: close", length=10**5)
    with service.connect(head) as idle:
        wait_for(lambda: service.metric("encodec_requests_open") == 1)
        wait_for(lambda: _is_answered(service))
        idle.shutdown(socket.SHUT_WR)
        answer = received(idle)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"client_too_slow" in answer


def _long_file(service: Target, seconds: int) -> bytes:
    """An `.ecdc` file with the code 0 throughout, so nothing was encoded for it."""
    with service.client() as client:
        header = read_header(io.BytesIO(compressed(client, wav(0.1))))
    config = CONFIGS[parse_model_name(header.model).name]
    header = dataclasses.replace(header, audio_length=seconds * config.sample_rate)
    return header.to_bytes() + bytes(payload_bytes(config, header))


def _narrow_connection(service: Target) -> socket.socket:
    """One whose end takes little that is not read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE)
    connection.connect(("127.0.0.1", service.port))
    return connection


def _is_answered(service: Target, path: str = "/compress") -> bool:
    """Whether a clip is, or refused because all places are taken."""
    with service.client() as client:
        answer = client.post(path, content=wav(0.1))
    assert answer.status_code in (200, 429), answer.text
    return answer.status_code == 200


def test_a_live_source_may_be_slow(start: Callable[..., Target]) -> None:
    service = start("--min-rate", "100000", "--rate-window", "1")
    file = wav(0.5)

    def paced() -> Iterator[bytes]:
        for start in range(0, len(file), 2000):
            yield file[start : start + 2000]
            time.sleep(0.3)

    with service.client() as client:
        refused(client.post("/compress", content=paced()), 408, "client_too_slow")
        answer = client.post("/compress", content=paced(), params={"live": "true"})
    assert answer.status_code == 200


def test_live_sources_are_limited_by_themselves(start: Callable[..., Target]) -> None:
    service = start(*LIMITS, "--max-live", "2")
    with ExitStack() as stack:
        for _ in range(2):
            head = post_head("/compress?live=true", length=10**6)
            stack.enter_context(service.connect(head + wav(1.0)[:200]))
        time.sleep(0.5)
        with service.client() as client:
            answer = client.post("/compress", content=wav(0.1), params={"live": "true"})
        refused(answer, 429, "busy")
        assert int(answer.headers["retry-after"]) > 0
        service.compress_works()
    wait_for(lambda: service.get("/health/ready").status_code == 200)
