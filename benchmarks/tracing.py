"""What traces cost: the same short uploads to a service with traces and to one without, in turns.

    python -m benchmarks.tracing                      # 8 clients, clips of 0.5 and 5 s
    python -m benchmarks.tracing --rounds 20 --clients 32

Compared is the processor time that the service needs for a request (its decoders need the same).
It depends little on what else the machine does. Each round measures both, so that both see the same
machine; the ratio is that of each round, the median of all. The spans go to a receiver that only
counts their bytes.
"""

import argparse
import os
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .live import cpu_seconds
from .serving.clients import post_clips
from .serving.servers import Server, bundled
from .serving.uploads import clip
from .table import Column, Table

_MODEL = "encodec_24khz"
_CLIPS = (0.5, 5.0)  # s
_WARM_UP = 3.0  # s

TABLE = Table(
    [
        Column("clip s", 6, 1),
        Column("ms off", 7, 2),
        Column("ms on", 7, 2),
        Column("ratio", 6, 3),
        Column("from", 6, 3),
        Column("to", 6, 3),
        Column("span bytes", 10, 0),
    ]
)
"""Processor time of a request without traces and with them; the ratio, and the least and greatest
of a round; bytes of spans for a request."""


class _Counter:
    """A receiver of spans."""

    def __init__(self) -> None:
        self.received = 0  # bytes

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Its address."""
        counter = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                counter.received += len(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()


def _cost(server: Server, seconds: float, clients: int, duration: float) -> tuple[float, int]:
    """Processor time of a request to `server` with a clip of `seconds`, in ms, and how many there
    were."""
    before = cpu_seconds(server.pid)
    load = post_clips(server.call("compress"), [clip(seconds, 24_000, 1)], clients, duration)
    if load.failed:
        raise RuntimeError(f"{load.failed} requests failed")
    used = cpu_seconds(server.pid) - before
    return 1000 * used / len(load.latencies), len(load.latencies)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each half of a round")
    options = parser.parse_args()
    counter = _Counter()
    with counter.listening() as address:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = address
        os.environ["OTEL_BSP_SCHEDULE_DELAY"] = "500"
        with (
            bundled([_MODEL]) as off,
            bundled([_MODEL], ["--tracing", "true"]) as on,
        ):
            print(TABLE.header())
            for seconds in _CLIPS:
                for server in (off, on):
                    _cost(server, seconds, options.clients, _WARM_UP)
                pairs, sent, requests = [], counter.received, 0
                for _ in range(options.rounds):
                    without, _ = _cost(off, seconds, options.clients, options.seconds)
                    with_traces, count = _cost(on, seconds, options.clients, options.seconds)
                    pairs.append((without, with_traces))
                    requests += count
                ratios = [with_traces / without for without, with_traces in pairs]
                middle = [statistics.median(column) for column in zip(*pairs, strict=True)]
                size = (counter.received - sent) / requests
                ratio = statistics.median(ratios)
                print(TABLE.line([seconds, *middle, ratio, min(ratios), max(ratios), size]))


if __name__ == "__main__":
    main()
