"""Posts a long file again and again, several at a time, until stopped, in its own process.

python -m benchmarks.serving.uploader URL FILE COUNT

URL is that of the call. Exits with 1 as soon as one response is not 200.
"""

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import httpx


def _post_for_ever(url: str, path: Path) -> None:
    with httpx.Client(timeout=None) as client:
        while True:
            try:
                with path.open("rb") as file:
                    client.post(url, files={"file": (path.name, file)}).raise_for_status()
            except (httpx.HTTPError, OSError) as error:
                print(error, file=sys.stderr, flush=True)
                os._exit(1)  # also ends the other threads, which may wait for a response


def main(arguments: Sequence[str]) -> None:
    """Does not return."""
    url, path, count = arguments
    threads = [
        threading.Thread(target=_post_for_ever, args=(url, Path(path))) for _ in range(int(count))
    ]
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main(sys.argv[1:])
