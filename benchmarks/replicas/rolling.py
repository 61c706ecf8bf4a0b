"""All replicas are replaced while clients of all kinds send; memory is watched meanwhile."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import httpx

from ..memory import tree_bytes
from ..timing import Percentiles
from .behind_proxy import BehindProxy
from .clients import Tally, mixed_requests, send
from .on_serve import OnServe
from .processes import family

_MIB = 1 << 20
_PROBE = 0.5  # s
_BETWEEN = 5.0  # s of load before, between and after updates


def main(
    run: Callable[[int, list[str]], AbstractContextManager[BehindProxy | OnServe]],
    clients: int,
    seconds: float,
    updates: int,
) -> int:
    """Print what came back and what was used; 1 where a request failed.

    The load lasts `seconds`, or until the updates have ended. Raises `ServerError` where one fails.
    """
    with run(2, ["--weights", "bundled", "--shutdown-delay", "5"]) as running:
        requests = mixed_requests(running.url)
        watch = _Watch(running)
        ends = time.monotonic() + seconds

        def update() -> None:
            for _ in range(updates):
                time.sleep(_BETWEEN)
                began = time.monotonic()
                running.update()
                print(f"all replicas replaced in {time.monotonic() - began:.0f} s", flush=True)
            time.sleep(_BETWEEN)

        with watch, ThreadPoolExecutor(1) as threads:
            updating = threads.submit(update)
            tally = send(
                running.url,
                requests,
                clients,
                ended=lambda: updating.done() and time.monotonic() > ends,
            )
            updating.result()
        return _report(tally, watch)


class _Watch:
    """Samples the replicas' memory and how long a health check takes through the proxy."""

    def __init__(self, running: BehindProxy | OnServe):
        self._running = running
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.memory: list[int] = []  # bytes, of all replicas
        self.health: list[float] = []  # s
        self.unanswered = 0

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(_PROBE):
            self.memory.append(sum(tree_bytes(pid) for pid in self._running.pids if family(pid)))
            began = time.monotonic()
            try:
                httpx.get(f"{self._running.url}/health/live", timeout=10).raise_for_status()
                self.health.append(time.monotonic() - began)
            except httpx.HTTPError:
                self.unanswered += 1


def _report(tally: Tally, watch: _Watch) -> int:
    latency = Percentiles.of(tally.latencies)
    health = Percentiles.of(watch.health)
    print("  ".join(f"{kind}: {count}" for kind, count in sorted(tally.counts.items())))
    print(f"answers after {latency.p50:.2f} s (median), {latency.p99:.2f} s (99th percentile)")
    print(
        f"/health/live: {1000 * health.p50:.0f} ms (median), {1000 * health.p99:.0f} ms, ", end=""
    )
    print(f"longest {1000 * health.most:.0f} ms, {watch.unanswered} unanswered")
    size = [watch.memory[len(watch.memory) * part // 4] / _MIB for part in range(4)]
    size.append(watch.memory[-1] / _MIB)
    print("memory of the replicas, MiB, from start to end:", *(f"{mib:.0f}" for mib in size))
    for line in tally.wrong:
        print("WRONG:", line)
    print(f"{tally.failed} requests failed")
    return int(bool(tally.failed or watch.unanswered))
