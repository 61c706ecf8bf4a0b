"""A real PostgreSQL in a temporary folder, reached by a socket in it."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg


def program(name: str) -> str:
    """Where a program of PostgreSQL is; empty where it is not."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(places[-1]) if places else "")


def is_here() -> bool:
    return bool(program("initdb") and program("postgres"))


class Postgres:
    """One that can be stopped and started again."""

    def __init__(self, folder: str):
        self.url = f"postgresql+psycopg://postgres@/postgres?host={folder}"
        self._folder = Path(folder)
        self._server: subprocess.Popen[bytes] | None = None
        self._user: dict[str, Any] = {"cwd": folder}
        if os.getuid() == 0:  # as whom it does not run
            self._user |= {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(folder, "postgres", "postgres")
        initdb = [program("initdb"), "-D", "data", "-U", "postgres", "-A", "trust", "-N"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, **self._user)

    def start(self) -> None:
        options = ["listen_addresses=", f"unix_socket_directories={self._folder}", "fsync=off"]
        command = [program("postgres"), "-D", "data", *(w for o in options for w in ("-c", o))]
        log = self._folder / "log"
        with log.open("ab") as lines:
            self._server = subprocess.Popen(command, stderr=lines, **self._user)
        deadline = time.monotonic() + 30
        while not self._answers():  # its socket is there before that
            assert self._server.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            psycopg.connect(host=str(self._folder), user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)  # without waiting for its clients
            self._server.wait(30)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """A block in which it answers nobody, and nobody is told."""
        assert self._server is not None
        first = self._server.pid
        others = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        pids = [first, *map(int, others)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        server = Postgres(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
