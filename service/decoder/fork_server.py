"""The process from which decoding children are forked: everything is imported and tried out.

`python -m service.decoder.fork_server FD PID` is started by the server (of that pid) with an
environment of its own, without secrets. It has one thread, receives its commands over the socket
FD (`protocol`), and ends when the server closes that socket or ends; its children end with it.
"""

import contextlib
import errno
import gc
import importlib
import os
import pickle
import pkgutil
import selectors
import signal
import socket
import sys
from collections.abc import Iterator
from io import BytesIO

import av
import numpy as np
from av.audio.layout import AudioLayout
from av.audio.stream import AudioStream

from model_core.audio import pcm16, wav_header
from model_core.audio.samples import stereo_matrix

from . import child
from .protocol import ALL, READY, REPORT, DecodeRequest
from .sandbox import confine_family, die_with

_UNUSED = ("av.__main__", "av.datasets")  # modules of PyAV that decoding never imports
_USUAL = (  # what most uploads are: container, codec and rate (Hz)
    *(("flac", "flac", 44_100), ("mp3", "libmp3lame", 44_100), ("ipod", "aac", 44_100)),
    *(("ogg", "libopus", 48_000), ("ogg", "libvorbis", 44_100), ("webm", "libopus", 48_000)),
)


def main() -> None:
    """Prepares, says that it is ready, and serves."""
    die_with(int(sys.argv[2]))
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the server, which may still drain
        signal.signal(number, signal.SIG_IGN)
    commands = socket.socket(fileno=int(sys.argv[1]))
    prepare()
    commands.send(READY)
    serve(commands)
    os._exit(0)  # taking the interpreter apart takes a while


def serve(commands: socket.socket) -> None:
    """Forks a child for each command and reports its end, until the server closes `commands`."""
    with selectors.DefaultSelector() as selector:
        selector.register(commands, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data is not None:  # the child of this pidfd has ended
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    pid, report = key.data
                    _, status = os.waitpid(pid, 0)
                    _send(report, os.waitstatus_to_exitcode(status))
                    report.close()
                    continue
                try:
                    command, fds, _, _ = socket.recv_fds(commands, 64, 2)
                except ConnectionResetError:  # the server is gone
                    return
                if not command:
                    return
                connection, report = fds[0], socket.socket(fileno=fds[1])
                try:
                    pid, pidfd = _fork(connection)
                except OSError as error:
                    _send(report, error.errno or errno.EAGAIN)
                    report.close()
                else:
                    _send(report, pid, pidfd)
                    selector.register(pidfd, selectors.EVENT_READ, (pid, report))
                finally:
                    os.close(connection)


def _fork(connection: int) -> tuple[int, int]:
    """The pid of a new child that talks over the socket `connection`, and a pidfd, which is
    readable once it has ended. Raises `OSError`."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        child.live(connection, parent)
    try:
        return pid, os.pidfd_open(pid)  # until it is waited for, the pid cannot be anybody else's
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _send(report: socket.socket, number: int, *fds: int) -> None:
    with contextlib.suppress(OSError):  # the server no longer wants to know
        socket.send_fds(report, [REPORT.pack(number)], fds)


def prepare() -> None:
    """Does once what each child would otherwise do again, and confines this process.

    A child can open no file, so the modules that PyAV imports when it meets video or subtitles are
    imported too. All objects made so far are hidden from the garbage collector: it writes to each
    one it looks at, and a child pays for a copy of each page that is written to.
    """
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if module.name not in _UNUSED:
            importlib.import_module(module.name)
    stereo_matrix(AudioLayout("5.1"))
    samples = _made_elsewhere()
    for rate, channels in ((24_000, 1), (48_000, 2)):
        for data in samples:
            _rehearse(data, DecodeRequest(rate, channels, size=len(data)))
    for data in samples[:1]:  # a rate that takes many filters, which no format changes
        _rehearse(data, DecodeRequest(24_001, 1, size=len(data)))
    os.environ.clear()
    confine_family()
    gc.collect()
    gc.freeze()


def _made_elsewhere() -> list[bytes]:
    """`_samples`, from a process of their own: encoders leave 12 MB that no fork need carry."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with os.fdopen(writing, "wb") as sink:
                pickle.dump(list(_samples()), sink)
        finally:
            os._exit(0)
    os.close(writing)
    samples: list[bytes] = []
    with os.fdopen(reading, "rb") as source, contextlib.suppress(EOFError, pickle.UnpicklingError):
        samples = pickle.load(source)
    os.waitpid(pid, 0)
    return samples


def _samples() -> Iterator[bytes]:
    """A tenth of a second in the usual formats, as far as this build of FFmpeg writes them."""
    rising = np.linspace(-0.5, 0.5, 2 * 4_410, dtype=np.float32).reshape(2, -1)
    yield wav_header(44_100, 2, rising.shape[1]) + pcm16(rising)
    for container, codec, rate in _USUAL:
        file = BytesIO()
        with contextlib.suppress(av.FFmpegError, ValueError):
            with av.open(file, "w", format=container) as out:
                stream = out.add_stream(codec, rate=rate)
                assert isinstance(stream, AudioStream)
                frame = av.AudioFrame.from_ndarray(rising, format="fltp", layout="stereo")
                frame.sample_rate = rate
                out.mux(stream.encode(frame))
                out.mux(stream.encode(None))
            yield file.getvalue()


def _rehearse(data: bytes, request: DecodeRequest) -> None:
    """Decodes an upload as a child does, so that a child finds all tables and caches filled. Its
    blocks are left in the socket's buffer, so it must be short."""
    ours, theirs = socket.socketpair()
    upload = os.memfd_create("rehearsal")
    with ours, theirs:
        os.write(upload, data)
        ours.send(ALL)
        child.decode(request, theirs, upload, lambda seconds: None, lambda size: None)
    os.close(upload)


if __name__ == "__main__":
    main()
