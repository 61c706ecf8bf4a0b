"""One decoding child: it waits for one upload, reads it, sends its blocks, and ends."""

import os
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

import numpy as np

from model_core.audio import open_audio
from model_core.errors import AudioTooLongError, InvalidAudioError

from .protocol import (
    ALL,
    AUDIO,
    CANNOT_WORK,
    END,
    ERROR,
    LENGTH,
    MAX_TEXT,
    NO_MEMORY,
    PREFIX,
    SOURCE,
    TOO_LONG,
    DecodeRequest,
    Source,
    receive_request,
)
from .sandbox import allow_cpu, allow_memory, confine, die_with, memory_is_short

_SOCKET = 3  # the descriptor that a child holds besides 0, 1 and 2 until it has an upload


def live(connection: int, parent: int) -> NoReturn:
    """The whole life of a child after the fork.

    It closes every descriptor that it has inherited but its socket, confines itself, and only then
    waits for its upload, the one descriptor that it may still be given.
    """
    status = CANNOT_WORK
    try:
        die_with(parent)
        os.setsid()  # Linux shares out the processor by session, so each child has its own share
        os.dup2(connection, _SOCKET)
        os.closerange(_SOCKET + 1, os.sysconf("SC_OPEN_MAX"))
        confine(most_files=_SOCKET + 2)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=_SOCKET) as server:
            request, upload = receive_request(server)
            decode(request, server, upload, made=allow_cpu, received=allow_memory)
            # The server may still be saying that there are more bytes. If nobody were there to
            # receive it, it would lose what this child has sent and it has not read yet.
            while server.recv(4096):
                pass
        status = 0
    except (ConnectionError, EOFError):
        pass  # the server is gone, or needs no child: nobody is left to tell
    except BaseException as error:  # noqa: BLE001 - whatever it is, the child must end here
        if not isinstance(error, OSError):
            status = CANNOT_WORK + 1
        print(f"decoder: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
    finally:
        os._exit(status)


def decode(
    request: DecodeRequest,
    server: socket.socket,
    upload: int,
    made: Callable[[float], None],
    received: Callable[[int], None],
) -> None:
    """Decodes the file `upload` (a descriptor) to blocks for `server`, until the end or the first
    error; calls `made` with the seconds sent so far after each block, and `received` with the bytes
    of the upload so far before it reads past those it has spoken of.

    A server that reads slowly stops it; one that is gone raises `ConnectionError` or `EOFError`, an
    upload that cannot be read `OSError`.
    """

    def send(kind: bytes, payload: bytes | memoryview = b"") -> None:
        server.sendall(PREFIX.pack(kind, len(payload)))
        if payload:
            server.sendall(payload)

    def fail(kind: bytes, reason: str) -> None:
        if kind == ERROR and memory_is_short():
            kind, reason = NO_MEMORY, f"there is too little memory to decode audio: {reason}"
        send(kind, reason.encode(errors="replace")[:MAX_TEXT])

    samples = 0
    try:
        file = GrowingFile(upload, lambda: server.recv(4096), received, request.size)
        with open_audio(
            file,
            request.sample_rate,
            request.channels,
            request.raw,
            request.max_seconds,
            request.live,
        ) as blocks:
            info = blocks.info
            seconds = info.seconds
            if seconds is None and request.size and info.bit_rate:
                seconds = request.size * 8 / info.bit_rate
            send(SOURCE, Source(info.sample_rate, info.channels, info.tags, seconds).to_bytes())
            for block in blocks:
                send(AUDIO, np.ascontiguousarray(block, "<f4").data.cast("B"))
                samples += block.shape[1]
                made(samples / request.sample_rate)
        send(END, LENGTH.pack(blocks.decoded_samples))
    except AudioTooLongError as error:
        fail(TOO_LONG, str(error))
    except InvalidAudioError as error:
        fail(ERROR, str(error))
    except MemoryError:
        fail(ERROR, "the audio needs too much memory")


class GrowingFile:
    """The upload as a seekable binary file whose `read` waits for bytes still to come.

    `receive()` waits for the next words of the server and returns them, or nothing when the server
    is gone; `received(size)` is told how much there is. `size` is the length of the whole in bytes
    where it is known from the start (Content-Length); otherwise a seek from the end waits for the
    whole upload. Raises `EOFError` when the server is gone before the end.
    """

    def __init__(
        self,
        fd: int,
        receive: Callable[[], bytes],
        received: Callable[[int], None],
        size: int | None = None,
    ) -> None:
        self._fd = fd
        self._receive = receive
        self._received = received
        self._told = -1  # bytes that `received` has been told of
        self._size = size
        self._complete = False
        self._position = 0

    def seekable(self) -> bool:
        """Always: it waits for what is not there yet."""
        return True

    def tell(self) -> int:
        """Bytes before the next one."""
        return self._position

    def read(self, size: int, /) -> bytes:
        """Between 1 and `size` bytes, waiting for them; none at the end of the upload."""
        while not (data := os.pread(self._fd, size, self._position)) and not self._complete:
            self._wait()
        self._position += len(data)
        if self._position > self._told:
            self._told = os.fstat(self._fd).st_size
            self._received(self._told)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves; only a seek from the end may have to wait. Raises `OSError` before the start."""
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += self._length()
        if offset < 0:
            raise OSError("seek before the beginning")
        self._position = offset
        return offset

    def _length(self) -> int:
        while not self._complete:
            if self._size is not None:
                return self._size
            self._wait()
        return os.fstat(self._fd).st_size

    def _wait(self) -> None:
        words = self._receive()
        if not words:
            raise EOFError("the server closed the connection")
        self._complete = ALL in words
