"""`encodec-serve` and `python -m service`: Ctrl-C ends it quietly from its first moment on.

`encodec-serve doctor` looks at the machine instead.
"""

import os
import signal
import sys
from typing import NoReturn


def main(arguments: list[str] | None = None) -> NoReturn:
    """The console script."""
    signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["doctor"]:
        from .doctor.command import main as doctor

        doctor(given[1:])
    from .serve import main as serve  # which takes a second

    serve(given)


if __name__ == "__main__":
    main()
