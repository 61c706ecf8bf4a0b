"""Temporary files of a request, and the chunks they are read and sent in."""

from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest

from service.pipeline.spool import MEMORY_BYTES, check_spool, contents, fill, in_chunks, spool

CHUNK = 1 << 16


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def test_a_spool_that_outgrows_memory_is_a_file_in_its_folder_without_a_name(
    tmp_path: Path,
) -> None:
    with spool(tmp_path) as file:
        file.write(bytes(MEMORY_BYTES + 1))
        on_disk = Path(f"/proc/self/fd/{file.fileno()}").readlink()
        assert on_disk.parent == tmp_path
        assert list(tmp_path.iterdir()) == []  # the system removes it whatever happens
    assert file.closed


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    check_spool(tmp_path)
    check_spool(None)
    with pytest.raises(ValueError, match="cannot be kept in"):
        check_spool(tmp_path / "missing")


@pytest.mark.anyio
async def test_fill_appends_all_and_rewinds() -> None:
    file = BytesIO()
    file.write(b"ab")
    assert await fill(file, chunks(b"cd", b"efg")) == 7
    assert file.read() == b"abcdefg"


@pytest.mark.anyio
@pytest.mark.parametrize(("most", "kept"), [(0, b"ab"), (2, b"ab"), (5, b"abcde"), (9, b"abcdefg")])
async def test_fill_keeps_at_most_so_many_bytes_and_counts_all(most: int, kept: bytes) -> None:
    file = BytesIO()
    file.write(b"ab")
    assert await fill(file, chunks(b"cd", b"efg"), most) == 7
    assert file.read() == kept


@pytest.mark.anyio
async def test_contents_are_the_rest_of_a_file_in_chunks() -> None:
    data = bytes(range(256)) * 1000
    file = BytesIO(data)
    file.seek(100)
    read = [chunk async for chunk in contents(file)]
    assert b"".join(read) == data[100:]
    assert {len(chunk) for chunk in read[:-1]} == {CHUNK}


def test_small_pieces_are_joined_into_chunks() -> None:
    pieces = [bytes([n % 256]) * (n % 100) for n in range(5000)]
    joined = list(in_chunks(pieces))
    assert b"".join(joined) == b"".join(pieces)
    assert all(CHUNK <= len(chunk) < CHUNK + 100 for chunk in joined[:-1])
    assert 0 < len(joined[-1]) < CHUNK
    assert list(in_chunks([])) == list(in_chunks([b"", b""])) == []
