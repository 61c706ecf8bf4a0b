"""Damaged files: all that is intact comes back in its place, and what is lost is said."""

import io
import os
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.ecdc.v1 import Chunk, Gap, Header, Salvage
from model_core.errors import BitstreamError, TruncatedBitstreamError
from tests.model_core.ecdc.v1.files import (
    MONO,
    STEREO,
    Example,
    example,
    forwards,
    memory_below,
    small,
)

FILES = {
    "mono": small(samples=9000),
    "stereo": small(STEREO, samples=190_200, chunk=1),
    "coded": small(samples=9000, lm=1),
}
FILE = FILES["mono"]  # 8 chunks of 1,280 samples, the last of 40
each_file = pytest.mark.parametrize("file", FILES.values(), ids=FILES.keys())


def salvage(data: bytes, header: Header | None = None) -> tuple[list[Chunk], list[Gap]]:
    parts = list(Salvage(io.BytesIO(data), header))
    chunks = [part for part in parts if isinstance(part, Chunk)]
    return chunks, [part for part in parts if isinstance(part, Gap)]


def joined(file: Example, *pieces: int | bytes) -> bytes:
    return b"".join(p if isinstance(p, bytes) else file.pieces[p] for p in pieces)


@each_file
def test_an_intact_file_has_no_gap(file: Example) -> None:
    salvaged = Salvage(forwards(file.data))
    assert list(salvaged) == file.chunks
    assert salvaged.samples == file.samples


@each_file
def test_a_changed_byte_costs_its_chunk_alone(file: Example) -> None:
    stride = file.chunks[1].start
    for place in range(file.bounds[0], file.bounds[-1], 3):
        changed = bytearray(file.data)
        changed[place] ^= 0x10
        lost = sum(end <= place for end in file.bounds[1:])
        chunks, gaps = salvage(bytes(changed))
        assert chunks == [chunk for chunk in file.chunks if chunk.number != lost]
        missing = min(stride, file.samples - lost * stride)
        offset, end = file.bounds[lost : lost + 2]
        assert gaps == [Gap(lost * stride, missing, offset, end - offset)]


def test_chunks_that_are_missing_leave_their_place() -> None:
    chunks, gaps = salvage(joined(FILE, 0, 1, 2, 5, 8, 9))
    assert [chunk.number for chunk in chunks] == [0, 1, 4, 7]
    assert gaps == [
        Gap(2 * 1280, 2 * 1280, FILE.bounds[2], 0),
        Gap(5 * 1280, 2 * 1280, FILE.bounds[3], 0),
    ]


def test_bytes_that_are_added_cost_nothing() -> None:
    noise = random.Random(1).randbytes(1000) + b"\xec\xed\xee" * 50
    chunks, gaps = salvage(joined(FILE, 0, noise, 1, 2, 3, b"\xec", 4, 5, 6, 7, noise, 8, noise, 9))
    assert chunks == FILE.chunks
    assert [(gap.start, gap.samples, gap.bytes) for gap in gaps] == [
        *((0, 0, 1150), (3 * 1280, 0, 1), (7 * 1280, 0, 1150), (9000, 0, 1150)),
    ]


def test_a_part_of_a_file_that_comes_twice_is_taken_once() -> None:
    chunks, gaps = salvage(joined(FILE, 0, 1, 2, 3, 2, 3, 4, 5, 6, 7, 8, 9))
    assert chunks == FILE.chunks
    assert [gap.samples for gap in gaps] == [0]
    other = example(FILE.header, 30_000, seed=5)
    chunks, gaps = salvage(FILE.data + other.data)
    assert chunks == FILE.chunks
    assert gaps == [Gap(9000, 0, len(FILE.data), len(other.data))]


def test_without_its_end_nobody_knows_how_much_is_missing() -> None:
    for size in range(FILE.bounds[0], FILE.bounds[-1]):
        chunks, gaps = salvage(FILE.data[:size])
        whole = sum(end <= size for end in FILE.bounds[1:])
        assert chunks == FILE.chunks[:whole]
        assert gaps == [Gap(whole * 1280, None, FILE.bounds[whole], size - FILE.bounds[whole])]


def test_a_chunk_that_the_end_of_the_audio_cuts_tells_the_length() -> None:
    salvaged = Salvage(io.BytesIO(FILE.open))
    assert list(salvaged) == FILE.chunks
    assert salvaged.samples == 9000


def test_the_last_chunk_but_one_tells_the_length_too_where_the_end_cuts_it() -> None:
    file = example(Header(STEREO, 2, 0, 1), 47_600)
    chunks, gaps = salvage(file.pieces[0] + file.pieces[1])
    assert chunks == file.chunks[:1]
    assert gaps == [Gap(47_520, 80, file.bounds[1], 0)]


def test_a_damaged_trailer_is_said() -> None:
    chunks, gaps = salvage(FILE.data[:-1] + b"x")
    assert chunks == FILE.chunks
    assert gaps == [Gap(9000, 0, len(FILE.data) - 8, 8)]


def test_another_files_header_takes_the_place_of_a_damaged_one() -> None:
    damaged = b"\0" + FILE.data[1:]
    with pytest.raises(BitstreamError):
        salvage(damaged)
    with pytest.raises(TruncatedBitstreamError):
        salvage(damaged[:0])
    chunks, gaps = salvage(damaged, FILE.header)
    assert chunks == FILE.chunks
    assert gaps == [Gap(0, 0, 0, FILE.bounds[0])]
    assert salvage(damaged[30:], FILE.header)[0] == FILE.chunks
    assert salvage(b"", FILE.header) == ([], [Gap(0, None, 0, 0)])


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.sampled_from(sorted(FILES)), st.integers(0, 2**32), st.integers(1, 6))
def test_every_chunk_that_no_damage_touched_comes_back(name: str, seed: int, hits: int) -> None:
    file, draw = FILES[name], random.Random(seed)
    data = bytearray(file.data)
    touched = set()
    for _ in range(hits):
        place = draw.randrange(file.bounds[0], len(data))
        size = draw.randint(1, 30)
        data[place : place + size] = draw.randbytes(len(data[place : place + size]))
        touched |= set(range(place, place + size))
    chunks, gaps = salvage(bytes(data))
    bounds = zip(file.bounds, file.bounds[1:], strict=False)
    intact = [
        c for c, (a, b) in zip(file.chunks, bounds, strict=True) if not touched & {*range(a, b)}
    ]
    numbers = {chunk.number for chunk in chunks}
    assert {chunk.number for chunk in intact} <= numbers
    assert chunks == [chunk for chunk in file.chunks if chunk.number in numbers]
    assert sum(gap.bytes for gap in gaps) <= len(data)


@pytest.mark.parametrize(
    "fill", [b"\xec\0\x8f\x06", b"\xee\x40", b"\xec", b"\xed\0\1\x1e", b"noise"]
)
@pytest.mark.parametrize("lm", [0, 1])
def test_a_file_made_to_be_slow_is_given_up(fill: bytes, lm: int) -> None:
    header = Header(MONO, 8, lm, 76)
    size = 2_000_000
    noise = os.urandom(size) if fill == b"noise" else (fill * size)[:size]
    good = example(header, 50_000)
    began = time.monotonic()
    chunks, gaps = salvage(good.open + noise)
    assert chunks == good.chunks
    assert sum(gap.bytes for gap in gaps) == size
    assert time.monotonic() - began < 20


def test_memory_is_bounded() -> None:
    file = example(Header(MONO, 8, 0, 76), 24_000 * 300)
    data = file.pieces[0] + bytes(2_000_000) + b"\xec\0" * 20_000 + b"".join(file.pieces[1:])
    with memory_below(1_000_000):
        count = sum(isinstance(part, Chunk) for part in Salvage(io.BytesIO(data)))
    assert count == len(file.chunks)
