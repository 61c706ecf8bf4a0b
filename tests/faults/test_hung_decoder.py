"""Decoding children that stop or are killed from outside."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

import httpx

from tests.faults.target import Target, post_head, received, wait_for
from tests.service.sounds import encoded


@contextlib.contextmanager
def every_decoder_gets(number: signal.Signals, service: Target) -> Iterator[None]:
    """A signal, as soon as it is there."""
    done = threading.Event()

    def send() -> None:
        while not done.wait(0.005):
            for pid in service.decoders():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        done.set()
        sender.join()


def test_a_stopped_decoder_is_replaced_and_the_upload_goes_on(
    start: Callable[..., Target],
) -> None:
    service = start("--decoder-timeout", "2")
    file = encoded("flac", 20.0)
    with service.client() as client:
        expected = client.post("/compress", content=file).content
    wait_for(lambda: service.metric("encodec_requests_open") == 0)
    wait_for(service.decoders)  # the next one is forked ahead
    idle = set(service.decoders())
    head = post_head("/compress", "Connection: close", length=len(file))
    with service.connect(head + file[: len(file) // 2]) as upload:
        wait_for(lambda: service.metric("encodec_requests_open") == 1)
        wait_for(lambda: set(service.decoders()) & idle)
        for pid in service.decoders():
            os.kill(pid, signal.SIGSTOP)
        upload.sendall(file[len(file) // 2 :])
        answer = received(upload)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(expected)


def test_a_stopped_decoder_that_was_forked_ahead_does_not_take_the_next_upload_with_it(
    start: Callable[..., Target],
) -> None:
    service = start("--decoder-timeout", "2")
    service.compress_works()
    wait_for(service.decoders)
    for pid in service.decoders():
        with contextlib.suppress(ProcessLookupError):  # the one of the call before may still end
            os.kill(pid, signal.SIGSTOP)
    service.compress_works()


def test_decoders_that_always_stop_are_the_services_fault(start: Callable[..., Target]) -> None:
    service = start("--decoder-timeout", "1")
    service.compress_works()
    with every_decoder_gets(signal.SIGSTOP, service), service.client() as client:
        answer = client.post("/compress", content=encoded("flac", 60.0))
    _unavailable(answer)
    service.compress_works()


def test_a_decoder_that_is_killed_from_outside_is_not_the_files_fault(
    start: Callable[..., Target],
) -> None:
    service = start()
    service.compress_works()
    file = encoded("flac", 20.0)
    with every_decoder_gets(signal.SIGKILL, service), service.client() as client:
        answer = client.post("/compress", content=file)
    _unavailable(answer)
    service.compress_works()


def _unavailable(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) > 0
