"""Replicas on Ray Serve, on a Ray cluster of this machine that is started for it."""

import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which

from ..serving.servers import ServerError, is_ready
from .processes import PATIENCE, ROOT, Process, family, pin, python

_OBJECT_STORE = 200_000_000  # bytes
_LOOK = 0.5  # s between two looks at the hundreds of threads that Ray has


class OnServe:
    """Running replicas and Ray Serve."""

    def __init__(
        self,
        ray: Process,
        address: str,
        port: int,
        flags: Sequence[str],
        environment: dict[str, str],
    ):
        self.url = f"http://127.0.0.1:{port}"
        self.ray = ray
        self._command = [
            *python("-m", "service.cluster", "--ray-address", address, "--port", str(port)), *flags
        ]  # fmt: skip
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self._updates = 0

    @property
    def pids(self) -> list[int]:
        """Of the replicas."""
        return [pid for pid in family(self.ray.pid) if "ServeReplica" in _title(pid)]

    def deploy(self) -> None:
        """Have Ray Serve run them; where it does already, replace them. Raises `ServerError`."""
        settings = ["--read-timeout", str(60 + self._updates)]  # any that is new
        self._updates += 1
        done = subprocess.run(
            [*self._command, *settings],
            cwd=ROOT, env=self._environment, check=False, capture_output=True, text=True,
            timeout=2 * PATIENCE,
        )  # fmt: skip
        if done.returncode:
            raise ServerError(done.stdout[-2000:] + done.stderr[-2000:])

    def update(self) -> None:
        """Replace all replicas."""
        before = set(self.pids)
        self.deploy()
        self.ray.wait_until(lambda: not before & set(self.pids), _LOOK)

    def pin(self, cores: Sequence[int]) -> None:
        """A core for each replica."""
        for replica, core in zip(self.pids, cores, strict=False):
            pin(replica, core)


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


@contextmanager
def on_serve(replicas: int, port: int, log: Path, flags: Sequence[str]) -> Iterator[OnServe]:
    """`replicas` of the service with `flags` at `port`; Ray's own is the next. Raises
    `ServerError`."""
    ray = which("ray", path=str(Path(python()[0]).parent))
    if ray is None:
        raise ServerError("ray is not installed: the extra `ray`")
    command = [
        ray, "start", "--head", "--block", "--port", str(port + 1), "--num-cpus", "16",
        "--include-dashboard", "false", "--disable-usage-stats",
        "--object-store-memory", str(_OBJECT_STORE),
    ]  # fmt: skip
    key = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    cluster = Process(command, log / "ray.log", **key)
    with cluster.running():
        cluster.wait_until(lambda: "Ray runtime started" in cluster.log.read_text())
        number = str(replicas)
        scale = ["--min-replicas", number, "--max-replicas", number]
        found = OnServe(cluster, f"127.0.0.1:{port + 1}", port, [*scale, *flags], key)
        found.deploy()
        cluster.wait_until(lambda: is_ready(found.url) and len(found.pids) == replicas, _LOOK)
        yield found
