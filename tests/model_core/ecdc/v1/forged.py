"""Files forged with right checksums: no claim may crash a reader, stop it or take its memory.

Here every checksum is zero, so that changed bytes get past them.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from unittest.mock import patch

from model_core.ecdc.v1 import ChunkFile, Header, Salvage, continue_file, drop_codebooks, verify
from model_core.errors import BitstreamError
from tests.model_core.ecdc.v1.files import MONO, STEREO, example, small


@contextlib.contextmanager
def without_checksums() -> Iterator[None]:
    """All are zero, in what is written and in what is read."""

    def zero(before: int, data: bytes) -> int:
        return 0

    with patch("google_crc32c.extend", zero):
        yield


def files() -> list[bytes]:
    """Files to change, written without checksums."""
    return [
        small(samples=9000).data,
        small(STEREO, samples=47_600, chunk=1, name="a.wav", gain=-1.5).data,
        small(samples=6000, lm=1).data,
        example(Header(MONO, 4, 0, 1), 320 * 40).data,
        example(Header(STEREO, 2, 0, 2), 100_000).data,
    ]


def _chunks(data: bytes) -> None:
    file = ChunkFile(io.BytesIO(data))
    if len(file) < 1000:
        for chunk in file.chunks():
            file.layout.segments(chunk.samples)
        assert not len(file) or file.chunk_at(file.samples - 1)


def _salvaged(data: bytes) -> None:
    for _ in Salvage(io.BytesIO(data)):
        pass


def _fewer(data: bytes) -> None:
    with contextlib.suppress(ValueError):  # coded, or there are fewer
        b"".join(drop_codebooks(io.BytesIO(data), 2))


READERS: dict[str, Callable[[bytes], object]] = {
    "verify": lambda data: verify(io.BytesIO(data)),
    "seek": _chunks,
    "salvage": _salvaged,
    "drop codebooks": _fewer,
    "continue": lambda data: continue_file(io.BytesIO(data)),
}


def read_all(data: bytes) -> Iterator[tuple[str, str]]:
    """What each reader makes of `data`: the only error it may raise is `BitstreamError`."""
    for name, reader in READERS.items():
        try:
            reader(data)
        except BitstreamError:
            yield name, "refused"
        else:
            yield name, "read"
