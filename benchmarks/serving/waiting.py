"""Posts a one-second clip while the server encodes long files."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from model_core.config import ModelConfig

from .uploads import clip

_SETTLE = 4  # s, until the long files are in progress, plus the time to upload them
_UPLOAD = 100e6  # bytes/s, of a server that receives them whole before it starts
_ENOUGH = 60  # s, after which no further clip is posted
_ROOT = Path(__file__).parents[2]


def clip_latencies(url: str, config: ModelConfig, count: int) -> list[float]:
    """Seconds to the whole response at `url` to a one-second clip at the model's rate and channels,
    `count` times or for a minute."""
    body = clip(1, config.sample_rate, config.channels).body
    times: list[float] = []
    end = time.perf_counter() + _ENOUGH
    with httpx.Client(timeout=None) as client:
        while len(times) < count and time.perf_counter() < end:
            began = time.perf_counter()
            client.post(url, files={"file": ("clip.wav", body)}).raise_for_status()
            times.append(time.perf_counter() - began)
    return times


class LongFilesError(Exception):
    """The load of long files failed during the measurement."""


@contextmanager
def long_files(url: str, path: Path, count: int) -> Iterator[None]:
    """Inside, `count` clients post this file to `url` again and again.

    Raises `LongFilesError` at the end if they were refused.
    """
    command = [sys.executable, "-m", "benchmarks.serving.uploader", url, str(path), str(count)]
    process = subprocess.Popen(command, cwd=_ROOT)
    try:
        time.sleep(_SETTLE + count * path.stat().st_size / _UPLOAD)
        yield
        if process.poll() is not None:
            raise LongFilesError("the long files were refused")
    finally:
        process.kill()
        process.wait()
