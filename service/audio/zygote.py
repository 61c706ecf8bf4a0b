"""The process from which decoding children are forked: everything imported, nothing decoded.

Started by the server with an environment of its own (no secrets), it has one thread and one
socket, over which come the jobs: a number, the job, and two descriptors (the child's socket and
the upload). For each it forks a child. It answers `{"id", "status"}` when that child has ended, and
kills a child when told to. When the server goes, it and its children go.
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
from io import BytesIO

import av
import numpy as np
from av.audio.layout import AudioLayout

from model_core.audio import open_audio, pcm16, wav_header
from model_core.audio.channels import stereo_matrix

from . import child
from .wire import Job

MAX_COMMAND = 1 << 16  # bytes


class Zygote:
    """Forks children for the jobs that arrive on `commands` until it is closed."""

    def __init__(self, commands: socket.socket) -> None:
        self._commands = commands
        self._children: dict[int, int] = {}  # pid -> job number

    def serve(self) -> None:
        """Until the server closes its end."""
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
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)

    def _command(self) -> bool:
        """One command: a job to start or a child to kill; False when the server has gone."""
        data, fds, _, _ = socket.recv_fds(self._commands, MAX_COMMAND, 2)
        if not data:
            return False
        fields = json.loads(data)
        if "kill" in fields:
            for pid, number in self._children.items():
                if number == fields["kill"]:
                    os.kill(pid, signal.SIGKILL)  # not reaped yet, so the pid is still its own
            return True
        try:
            self._fork(int(fields["id"]), Job.from_bytes(fields["job"].encode()), fds)
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def _fork(self, number: int, job: Job, fds: list[int]) -> None:
        zygote = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            print(f"cannot start a decoder: {error}", file=sys.stderr)  # noqa: T201
            self._tell(number, None)
            return
        if pid:
            self._children[pid] = number
            return
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            status = child.run(job, fds[0], fds[1], zygote)
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
                self._tell(number, os.waitstatus_to_exitcode(status))

    def _tell(self, number: int, status: int | None) -> None:
        with contextlib.suppress(OSError):
            self._commands.send(json.dumps({"id": number, "status": status}).encode())


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
    """`python -m service.audio.zygote FD`: the command socket."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the server, which may still drain
        signal.signal(number, signal.SIG_IGN)
    commands = socket.socket(fileno=int(sys.argv[1]))
    warm_up()
    commands.send(json.dumps({"ready": os.getpid()}).encode())
    Zygote(commands).serve()
    os._exit(0)  # taking the interpreter apart takes a while


if __name__ == "__main__":
    main()
