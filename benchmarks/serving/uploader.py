"""Posts a long file again and again, several at a time, until it is stopped: a process of its own.

python -m benchmarks.serving.uploader URL FILE COUNT
"""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import httpx


def _post_for_ever(url: str, path: Path) -> None:
    with httpx.Client(base_url=url, timeout=None) as client:
        while True:
            with path.open("rb") as file:
                client.post("/compress", files={"file": (path.name, file)}).raise_for_status()


def main(arguments: Sequence[str]) -> None:
    url, path, count = arguments
    for _ in range(int(count) - 1):
        threading.Thread(target=_post_for_ever, args=(url, Path(path)), daemon=True).start()
    _post_for_ever(url, Path(path))


if __name__ == "__main__":
    main(sys.argv[1:])
