"""The process from which decoding children are forked: everything imported, nothing decoded.

Started by the server with an environment of its own (no secrets), it has one thread and one
socket, over which come commands of JSON:

    {"fork": number}, and a socket   forks a child with that socket; answers {"forked": number}
    {"kill": number}                 kills that child
    {"ping": number}                 answers the same

and says {"ended": number, "status"} when a child has ended, or, with the status null, could not be
forked. When the server goes, it and its children go.
"""

import contextlib
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import sys
from collections.abc import Mapping
from io import BytesIO

import av
import numpy as np
from av.audio.layout import AudioLayout

from model_core.audio import open_audio, pcm16, wav_header
from model_core.audio.channels import stereo_matrix

from . import child
from .sandbox import die_with

MAX_COMMAND = 1 << 16  # bytes


class Forker:
    """Forks children as `commands` says until it is closed."""

    def __init__(self, commands: socket.socket) -> None:
        self._commands = commands
        self._children: dict[int, int] = {}  # pid -> number

    def serve(self) -> None:
        """Says that it is ready and goes on until the server closes its end."""
        self._tell({"ready": os.getpid()})
        wake, waker = socket.socketpair()
        waker.setblocking(False)
        wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._commands, selectors.EVENT_READ)
            selector.register(wake, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if wake in ready:
                    with contextlib.suppress(BlockingIOError):
                        wake.recv(4096)
                    self._reap()
                if self._commands in ready and not self._command():
                    break
        signal.set_wakeup_fd(-1)  # or the ends of the children would be told to a closed socket
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)

    def _command(self) -> bool:
        """One command: a child to fork or to kill; False when the server has gone."""
        try:
            data, fds, _, _ = socket.recv_fds(self._commands, MAX_COMMAND, 1)
        except ConnectionResetError:  # it has gone and not heard all
            return False
        if not data:
            return False
        command = json.loads(data)
        if "kill" in command:
            for pid, number in self._children.items():
                if number == command["kill"]:
                    os.kill(pid, signal.SIGKILL)  # not reaped yet, so the pid is still its own
        elif "ping" in command:
            self._tell(command)
        else:
            self._fork(command["fork"], fds[0])
        for fd in fds:
            os.close(fd)
        return True

    def _fork(self, number: int, connection: int) -> None:
        zygote = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            print(f"cannot start a decoder: {error}", file=sys.stderr)  # noqa: T201
            self._tell({"ended": number, "status": None})
            return
        if pid:
            self._children[pid] = number
            self._tell({"forked": number})
            return
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            status = child.run(connection, zygote)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the child must end here
            print(f"decoder: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        finally:
            os._exit(status)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._children.pop(pid, None)
            if number is not None:
                self._tell({"ended": number, "status": os.waitstatus_to_exitcode(status)})

    def _tell(self, news: Mapping[str, int | None]) -> None:
        with contextlib.suppress(OSError):
            self._commands.send(json.dumps(news).encode())


def warm_up() -> None:
    """Decodes, mixes and resamples a little, so that nothing is imported or set up in a child.

    A child can open no file, so the modules that PyAV imports when it meets video or subtitles are
    imported too.
    """
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    noise = np.linspace(-0.5, 0.5, 2 * 44_100, dtype=np.float32).reshape(2, -1)
    data = wav_header(44_100, 2, noise.shape[1]) + pcm16(noise)
    for rate in (24_000, 24_001):
        with open_audio(BytesIO(data), rate, 1) as source:
            list(source)
    stereo_matrix(AudioLayout("5.1"))


def main() -> None:
    """`python -m service.decoder.fork_server FD PID`: the command socket, and the server."""
    die_with(int(sys.argv[2]))
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the server, which may still drain
        signal.signal(number, signal.SIG_IGN)
    commands = socket.socket(fileno=int(sys.argv[1]))
    warm_up()
    Forker(commands).serve()
    os._exit(0)  # taking the interpreter apart takes a while


if __name__ == "__main__":
    main()
