"""What replicas give, behind HAProxy with the file of `deploy/proxy` and on Ray Serve.

    python -m benchmarks.replicas scaling                   one replica with one thread, then two
    python -m benchmarks.replicas rolling                   all replicas replaced under load
    python -m benchmarks.replicas mixed --clients 64 --seconds 600      and memory
    python -m benchmarks.replicas bodies                    what a proxy keeps of large bodies

`--through serve` takes Ray Serve instead of HAProxy (the extra `ray`). HAProxy must be installed.
Ends with 1 where an answer was wrong or a request failed; 429 is no failure.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from ..serving.servers import ServerError
from . import bodies, rolling, scaling
from .behind_proxy import BehindProxy, behind_proxy
from .on_serve import OnServe, on_serve

Run = Callable[[int, list[str]], AbstractContextManager[BehindProxy | OnServe]]
"""Runs so many replicas with these flags."""


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.replicas",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("scaling", "rolling", "mixed", "bodies"))
    parser.add_argument("--through", choices=("proxy", "serve"), default="proxy")
    parser.add_argument("--port", type=int, default=9200, help="four ports from here on are used")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=2, help="of scaling")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--device", "cpu", "--models", "encodec_24khz", "--threads", "1"]

        def run(replicas: int, more: list[str]) -> AbstractContextManager[BehindProxy | OnServe]:
            start = on_serve if given.through == "serve" else behind_proxy
            return start(replicas, given.port, Path(folder), [*flags, *more])

        try:
            return {
                "scaling": partial(scaling.main, run, given.clients, given.seconds, given.rounds),
                "rolling": partial(rolling.main, run, given.clients, given.seconds, updates=1),
                "mixed": partial(rolling.main, run, given.clients, given.seconds, updates=0),
                "bodies": partial(bodies.main, run),
            }[given.what]()
        except ServerError as error:
            print(error, file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
