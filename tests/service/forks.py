"""Services that are forks of one process, which has imported them once: the imports are more than
half of the work of a start. Each is a process all the same, with an environment and a log of its
own, and gets its signals itself. Where it matters how it is started, it is not to be one of these.

`python -m tests.service.forks FD` is that process: it receives commands over the socket FD, and
ends when that is closed and all its forks have ended.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

_LONGEST = 1 << 17  # bytes of a command: flags and the environment
_LONGEST_END = 30.0  # s


class Fork:
    """A running service, to be used like a `subprocess.Popen`."""

    def __init__(self, pid: int, stderr: int, report: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stderr = os.fdopen(stderr)
        self._report = report

    def poll(self) -> int | None:
        """Its exit status, once it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a fork", timeout or 0)
            self.returncode = int(self._report.recv(64))
            self._report.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """If it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def fork_service(module: str, flags: list[str]) -> Fork:
    """The `main` of a module, with these flags, in this process's environment and folder."""
    reading, writing = os.pipe()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = json.dumps([module, flags, dict(os.environ), str(Path.cwd())]).encode()
    assert len(command) < _LONGEST
    socket.send_fds(_forking(), [command], [writing, theirs.fileno()])
    os.close(writing)
    theirs.close()
    return Fork(int(ours.recv(64)), reading, ours)


@functools.cache
def _forking() -> socket.socket:
    """The commands of the process that forks; it is started when first asked for."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.service.forks", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
    )
    theirs.close()

    def end() -> None:
        ours.close()
        try:
            process.wait(_LONGEST_END)
        except subprocess.TimeoutExpired:  # a service that nobody has ended
            process.kill()
            raise

    atexit.register(end)
    return ours


def _serve(commands: socket.socket) -> None:
    from service import serve  # noqa: F401  # for all forks

    gc.collect()
    gc.freeze()
    while True:
        command, fds, _, _ = socket.recv_fds(commands, _LONGEST, 2)
        if not command:
            break
        if os.fork() == 0:
            commands.close()
            _attend(json.loads(command), *fds)
        for fd in fds:
            os.close(fd)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def _attend(command: tuple[str, list[str], dict[str, str], str], log: int, report: int) -> NoReturn:
    """The parent of one service: says its pid, and its exit status once it has ended."""
    pid = os.fork()
    if pid == 0:
        os.close(report)
        _be_service(*command, log)
    os.close(log)
    with socket.socket(fileno=report) as told:
        told.send(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(OSError):  # nobody wants to know
            told.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _be_service(
    module: str, flags: list[str], environment: dict[str, str], folder: str, log: int
) -> NoReturn:
    main = importlib.import_module(module).main

    os.dup2(log, 2)
    os.close(log)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    try:
        main(flags)
    finally:  # as it would end if it had been started alone
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
