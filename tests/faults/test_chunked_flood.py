"""Bodies whose framing outweighs their data."""

import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.faults.target import Target, post_head
from tests.service.sounds import encoded, wav


@pytest.mark.parametrize("uploads", [0, 2])
def test_one_byte_chunks_do_not_hold_up_the_event_loop(
    share: Callable[..., Target], uploads: int
) -> None:
    """In a body of their own, and in one that waits behind other requests."""
    service = share()
    file = wav(2.0)
    before = uploads * (post_head("/compress", length=len(file)) + file)
    done = threading.Event()

    def flood() -> None:
        chunks = b"1\r\nx\r\n" * 20_000
        while not done.is_set():
            with service.connect() as connection:
                try:
                    connection.sendall(before + post_head("/compress"))
                    while not done.is_set():
                        connection.sendall(chunks)
                except OSError:
                    continue

    flooders = [threading.Thread(target=flood) for _ in range(2)]
    with service.watch() as watch:
        for flooder in flooders:
            flooder.start()
        done.wait(3)
        done.set()
        for flooder in flooders:
            flooder.join()
    assert not watch.unanswered
    assert max(watch.health) < 1.0
    service.compress_works()


def test_framing_that_outweighs_its_data_is_refused(share: Callable[..., Target]) -> None:
    service = share()
    body = b"1\r\nx\r\n" * 200_000 + b"0\r\n\r\n"
    with service.connect(post_head("/compress", "Connection: close")) as connection:
        with suppress(OSError):
            connection.sendall(body)
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 400")


def test_small_chunks_of_audio_are_taken(share: Callable[..., Target]) -> None:
    """A live encoder may send 20 bytes at a time."""
    service = share()
    file = encoded("ogg", 5.0)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in _pieces(file, 20))
    answer = service.exchange(post_head("/compress", "Connection: close") + chunks + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


def _pieces(file: bytes, size: int) -> list[bytes]:
    return [file[start : start + size] for start in range(0, len(file), size)]
