"""Downloads over HTTP: continued, tried again, verified, and never left half-written.

`torch.hub.download_url_to_file` verifies too, but begins anew when a connection breaks, waits for
a silent server without limit, and does not lock out other processes.
"""

import fcntl
import hashlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import BinaryIO

import httpx
from tqdm import tqdm

from ..errors import WeightsError, WeightsUnavailableError
from .files import check_sha256

logger = logging.getLogger(__name__)

_NO_HEAD = {405, 501}  # statuses of a server that is there but takes no HEAD
_PASSING = {408, 425, 429}  # statuses worth another try, with all from 500 on

# What making a client raises where the environment names a proxy of a kind that is not supported,
# a proxy that is no URL, or a file of certificates that does not exist.
_UNUSABLE_ENVIRONMENT = (ImportError, ValueError, OSError, httpx.InvalidURL)


@dataclass(frozen=True)
class Patience:
    """Time limits of a download, and how often it is tried."""

    connect: float = 5.0  # s
    read: float = 30.0  # s without a byte
    attempts: int = 6
    pause: float = 1.0  # s before the second attempt; doubled for each one after it


class _InterruptedError(Exception):
    """This attempt failed; the next may not."""


def unreachable(url: str, seconds: float) -> str | None:
    """Why `url` cannot be reached, or None if it answers within `seconds`.

    It is asked in a thread of its own, since looking up the host's name has no time limit.
    """
    try:
        client = _client(httpx.Timeout(seconds))
    except WeightsUnavailableError as error:
        return str(error)
    reasons: SimpleQueue[str | None] = SimpleQueue()

    def ask() -> None:
        try:
            with client:
                answer = client.head(url)
            refused = answer.is_error and answer.status_code not in _NO_HEAD
            reasons.put(f"HTTP {answer.status_code}" if refused else None)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reasons.put(str(error) or type(error).__name__)

    threading.Thread(target=ask, name="reachable", daemon=True).start()
    try:
        return reasons.get(timeout=seconds)
    except Empty:
        return f"no answer within {seconds:g} s"


def _client(timeout: httpx.Timeout) -> httpx.Client:
    """Follows redirects, and the environment's proxies and certificates.

    Raises `WeightsUnavailableError` where those cannot be used.
    """
    try:
        return httpx.Client(timeout=timeout, follow_redirects=True)
    except _UNUSABLE_ENVIRONMENT as error:
        raise WeightsUnavailableError(
            f"the proxies or certificates that the environment names cannot be used: {error}"
        ) from error


def fetch(url: str, path: Path, sha256_prefix: str, patience: Patience | None = None) -> None:
    """Download `url` to `path`, whose sha256 must begin with `sha256_prefix`.

    What was received is kept in `path` + `.part` and continued by the next attempt or the next
    process; two processes take turns. Raises `WeightsUnavailableError` when the file cannot be
    downloaded and `WeightsError` when it is not the right one (and then keeps nothing of it).
    """
    patience = patience or Patience()
    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        if path.exists() and _sha256(path).startswith(sha256_prefix):
            return  # another process has downloaded it
        resumed = part.exists()
        _fetch_part(url, part, sha256_prefix, patience)
        if resumed and not _sha256(part).startswith(sha256_prefix):
            part.unlink()  # what was there before may have been of another file
            _fetch_part(url, part, sha256_prefix, patience)
        try:
            check_sha256(_sha256(part), sha256_prefix, path)
        except WeightsError:
            part.unlink()
            raise
        part.replace(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One download into `folder` at a time, over all processes."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _fetch_part(url: str, part: Path, sha256_prefix: str, patience: Patience) -> None:
    """Append to `part` until it holds all that `url` answers, in several attempts if need be.

    What was received stays when it fails. Raises `WeightsUnavailableError`.
    """
    try:
        with (
            _client(httpx.Timeout(patience.read, connect=patience.connect)) as client,
            part.open("ab") as file,
        ):
            attempt, had = 1, file.seek(0, os.SEEK_END)
            while True:
                try:
                    whole = _receive(client, url, file)
                    if whole or _sha256(part).startswith(sha256_prefix):
                        return
                    reason = "it ended early, or is another file: its sha256 is wrong"
                except (_InterruptedError, httpx.RequestError) as error:
                    reason = str(error) or type(error).__name__
                logger.info("%s: attempt %d failed: %s", url, attempt, reason)
                size = file.seek(0, os.SEEK_END)
                if size > had:  # it gets on, however often the connection breaks
                    attempt, had = 0, size
                if attempt >= patience.attempts:
                    break
                time.sleep(patience.pause * 2 ** max(0, attempt - 1))
                attempt += 1
        raise WeightsUnavailableError(f"{url} could not be downloaded: {reason}")
    finally:
        if part.exists() and part.stat().st_size == 0:
            part.unlink()


def _receive(client: httpx.Client, url: str, file: BinaryIO) -> bool:
    """Append what is missing of `url` to `file`, from the start if the server cannot continue.

    Returns whether that certainly was all: an answer of unknown length ends like one cut off.
    """
    start = file.seek(0, 2)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return True  # all of it is here; if not, the checksum tells
        if answer.status_code in _PASSING or answer.is_server_error:
            raise _InterruptedError(f"HTTP {answer.status_code}")
        if not answer.is_success:
            raise WeightsUnavailableError(f"{url} answered HTTP {answer.status_code}")
        if not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            start = 0
            file.truncate(0)
        missing = int(answer.headers.get("Content-Length", 0))
        with tqdm(
            desc=url.rsplit("/", 1)[-1],
            initial=start,
            total=start + missing if missing else None,
            unit="B",
            unit_scale=True,
            disable=not sys.stderr.isatty(),
        ) as progress:
            for block in answer.iter_bytes():  # as it comes, so that none is lost
                file.write(block)
                progress.update(len(block))
        file.flush()
        return "Content-Length" in answer.headers or "Transfer-Encoding" in answer.headers


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
