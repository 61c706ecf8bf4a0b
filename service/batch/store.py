"""Files by fsspec: read anywhere, written whole or not at all.

In a local folder, and wherever files can be renamed, an output is written under a temporary name
beside its own and renamed. An object store shows an object once all of it has been put. A writer
holds a lock on its local temporary file, so what a crashed one has left is known, and removed by
the next run.
"""

import contextlib
import fcntl
import io
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from model_core.errors import EncodecError

_OBJECT_STORES = {
    *("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "r2", "hf", "memory"),
}
_PART = re.compile(r"\.encodec-batch-[0-9a-f]{16}\.part")


class StoreError(EncodecError):
    """A URL that cannot be used."""


def full_url(given: str) -> str:
    """`given`, absolute; a URL stays as it is, `file:` becomes a path."""
    if given.startswith("file://"):
        given = given.removeprefix("file://")
    if "://" in given or "::" in given:
        return given.rstrip("/")
    return os.path.abspath(os.path.expanduser(given))  # noqa: PTH100, PTH111  keeps links


def filesystem(url: str) -> tuple[Any, str]:
    """The file system of a URL or path, and the place there. Raises `StoreError`."""
    import fsspec

    try:
        fs, place = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise StoreError(f"{url}: {error}") from error
    return fs, str(place)


def is_local(fs: Any) -> bool:
    """Whether it is this machine's own."""
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


@contextlib.contextmanager
def open_range(url: str, offset: int | None, size: int | None) -> Iterator[tuple[BinaryIO, int]]:
    """A file, or `size` bytes from `offset` on of one, and how many bytes these are. It is only
    read from front to back. Raises `OSError`."""
    fs, place = filesystem(url)
    with fs.open(place, "rb") as file:
        if offset is None:
            length = os.fstat(file.fileno()).st_size if is_local(fs) else fs.info(place)["size"]
            yield cast(BinaryIO, file), int(length)
            return
        file.seek(offset)
        yield cast(BinaryIO, _Range(file, size or 0)), size or 0


class _Range(io.RawIOBase):
    """The next `size` bytes of a file."""

    def __init__(self, file: Any, size: int):
        self._file = file
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        data: bytes = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


class Store:
    """The folder or bucket that outputs go to."""

    def __init__(self, url: str):
        """Raises `StoreError`."""
        self._url = url
        self._fs, root = filesystem(url)
        self._root = root.rstrip("/")
        self._local = is_local(self._fs)
        protocols = self._fs.protocol
        named = {protocols} if isinstance(protocols, str) else set(protocols)
        self._objects = bool(named & _OBJECT_STORES)

    def place(self, name: str) -> str:
        """Where an output lies."""
        return f"{self._url.rstrip('/')}/{name}"

    def names(self) -> set[str]:
        """Of all files there, relative; what crashed writers have left is removed first."""
        self._fs.invalidate_cache()
        if self._fs.exists(self._root) and not self._fs.isdir(self._root):
            raise StoreError(f"{self._url} is not a folder")
        try:
            found = self._fs.find(self._root)
        except FileNotFoundError:
            return set()
        names = {str(path).removeprefix(self._root).lstrip("/") for path in found}
        left = {name for name in names if _PART.fullmatch(name.rpartition("/")[2])}
        for name in left:
            self._remove_part(f"{self._root}/{name}")
        return names - left

    def read(self, name: str) -> bytes | None:
        """A small file; None where there is none."""
        try:
            data: bytes = self._fs.cat_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return None
        return data

    def remove(self, name: str) -> None:
        """Raises `OSError`."""
        self._fs.rm_file(f"{self._root}/{name}")

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file to write, which can seek, that appears as `name` when the block ends without an
        error. Raises `OSError`, and what the file system raises."""
        place = f"{self._root}/{name}"
        with self._renaming(Path(place)) if self._local else self._putting(place) as file:
            yield file

    @contextlib.contextmanager
    def _renaming(self, path: Path) -> Iterator[BinaryIO]:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(_part_name())
        try:
            with temporary.open("x+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield file
                file.flush()
                os.fsync(file.fileno())  # a name that is there after a power cut has its bytes
                temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _putting(self, place: str) -> Iterator[BinaryIO]:
        with tempfile.NamedTemporaryFile(prefix="encodec-") as file:
            yield cast(BinaryIO, file)
            file.flush()
            folder = place.rpartition("/")[0]
            if self._objects:
                self._fs.put_file(file.name, place)
                return
            self._fs.makedirs(folder, exist_ok=True)
            temporary = f"{folder}/{_part_name()}"
            self._fs.put_file(file.name, temporary)
            self._fs.mv(temporary, place)

    def _remove_part(self, place: str) -> None:
        """What a crashed writer has left; not what another one still writes, where that can be
        known."""
        if not self._local:
            self._fs.rm_file(place)
            return
        with contextlib.suppress(FileNotFoundError, BlockingIOError), open(place, "rb") as file:  # noqa: PTH123
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            Path(place).unlink()


def copy(source: BinaryIO, target: BinaryIO) -> None:
    """All of `source`, from its beginning."""
    source.seek(0)
    shutil.copyfileobj(source, target)


def _part_name() -> str:
    return f".encodec-batch-{secrets.token_hex(8)}.part"
