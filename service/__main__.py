"""`encodec-serve` and `python -m service`: Ctrl-C ends it quietly from its first moment on."""

import os
import signal
from typing import NoReturn


def main(arguments: list[str] | None = None) -> NoReturn:
    """The console script."""
    signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))
    from .serve import main as serve  # which takes a second

    serve(arguments)


if __name__ == "__main__":
    main()
