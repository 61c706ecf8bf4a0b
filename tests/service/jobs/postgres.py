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


def program(name: str) -> str:
    """Where a program of PostgreSQL is; empty where it is not."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(places[-1]) if places else "")


def is_here() -> bool:
    return bool(program("initdb") and program("postgres"))


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of its database."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        user: dict[str, Any] = {}
        if os.getuid() == 0:  # as whom it does not run
            user = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(folder, "postgres", "postgres")
        data = f"{folder}/data"
        initdb = [program("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-N"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)
        options = ["-c", "fsync=off", "-c", f"unix_socket_directories={folder}"]
        command = [program("postgres"), "-D", data, "-c", "listen_addresses=", *options]
        log = Path(folder, "log")
        with (
            log.open("wb") as lines,
            subprocess.Popen(command, stderr=lines, cwd=folder, **user) as server,
        ):
            try:
                deadline = time.monotonic() + 30
                while not Path(folder, ".s.PGSQL.5432.lock").exists():
                    assert server.poll() is None, log.read_text()
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
            finally:
                server.send_signal(signal.SIGINT)  # without waiting for its clients
