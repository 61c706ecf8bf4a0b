"""Clients that send or read a few bytes now and then, to hold what others need."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx

from tests.faults.target import Target, post_head, received, wait_for
from tests.service.calls import refused
from tests.service.sounds import wav

LIMITS = ("--max-requests", "4", "--max-waiting", "4", "--admission-timeout", "5")


def test_bodies_that_trickle_do_not_keep_others_out(start: Callable[..., Target]) -> None:
    service = start(*LIMITS)
    with ExitStack() as stack:
        for _ in range(16):
            connection = stack.enter_context(service.connect(post_head("/compress", length=10**6)))
            connection.sendall(wav(1.0)[:200])
        time.sleep(1)
        for _ in range(5):
            service.compress_works()


def test_uploads_that_pause_after_a_good_start_do_not_keep_others_out(
    start: Callable[..., Target],
) -> None:
    service = start(*LIMITS)
    file = wav(20.0)
    with ExitStack() as stack:
        for _ in range(8):
            connection = stack.enter_context(
                service.connect(post_head("/compress", length=len(file)))
            )
            connection.sendall(file[: len(file) // 2])
        time.sleep(2)
        for _ in range(5):
            service.compress_works()


def test_an_upload_that_paused_is_finished_when_it_goes_on(start: Callable[..., Target]) -> None:
    service = start(*LIMITS)
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
    service = start(*LIMITS)
    with service.client() as client:
        long = client.post("/compress", content=wav(600.0, rate=8000)).content
    with ExitStack() as stack:
        for _ in range(6):
            head = post_head("/decompress", length=len(long))
            connection = stack.enter_context(service.connect(head + long))
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
    wait_for(lambda: httpx.get(f"{service.url}/health/ready").status_code == 200)
