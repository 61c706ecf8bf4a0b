"""One chunk: its bytes, and no other bytes."""

import math
import struct

import pytest

from model_core.ecdc.v1 import Chunk, Header, Layout
from model_core.ecdc.v1.checksum import crc_of
from model_core.ecdc.v1.chunk import (
    MIN_CHUNK_BYTES,
    chunk_bytes,
    max_chunk_bytes,
    read_chunk,
    read_head,
)
from model_core.ecdc.v1.varint import varint
from model_core.errors import BitstreamError
from tests.model_core.ecdc.v1.files import MONO, STEREO

MONO_CHUNKS = Layout(Header(MONO, 2, 0, 4))  # 1,280 samples, 10 bytes of codes
CODED = Layout(Header(MONO, 2, 1, 4))
STEREO_CHUNKS = Layout(Header(STEREO, 2, 0, 2))
CODES = bytes(range(10))


def sealed(data: bytes, layout: Layout = MONO_CHUNKS) -> bytes:
    return data + crc_of(data, layout.crc)


def read(data: bytes, layout: Layout) -> Chunk:
    head = read_head(data, 0, layout)
    assert head is not None
    assert head.size == len(data)
    return read_chunk(data, head, layout)[0]


def test_bytes_of_a_full_and_of_a_cut_chunk() -> None:
    full = chunk_bytes(MONO_CHUNKS, 300, 1280, CODES)
    assert full == sealed(b"\xec\xac\x02\x0a" + CODES)
    assert read(full, MONO_CHUNKS) == Chunk(300, 300 * 1280, 1280, (), CODES)
    cut = chunk_bytes(MONO_CHUNKS, 1, 321, CODES[:5])
    assert cut == sealed(b"\xed\x01\xc1\x02\x05" + CODES[:5])
    assert read(cut, MONO_CHUNKS) == Chunk(1, 1280, 321, (), CODES[:5])


def test_scales_come_first_one_a_segment() -> None:
    covered = STEREO_CHUNKS.full
    codes = bytes(STEREO_CHUNKS.code_bytes(covered)[0])
    data = chunk_bytes(STEREO_CHUNKS, 0, covered, codes, (0.5, 0.0))
    assert data[:4] == b"\xec\0" + varint(8 + len(codes))
    assert data[4:12] == struct.pack("!ff", 0.5, 0.0)
    assert read(data, STEREO_CHUNKS) == Chunk(0, 0, covered, (0.5, 0.0), codes)


def test_with_a_language_model_any_bytes_up_to_a_most() -> None:
    for size in (0, 1, 40):
        data = chunk_bytes(CODED, 0, 1280, bytes(size))
        assert read(data, CODED).codes == bytes(size)
    assert len(chunk_bytes(CODED, 0, 1280, b"")) == MIN_CHUNK_BYTES
    with pytest.raises(ValueError, match="bytes of codes"):
        chunk_bytes(CODED, 0, 1280, bytes(41))


def test_no_chunk_exceeds_the_most() -> None:
    for layout in (MONO_CHUNKS, CODED, STEREO_CHUNKS):
        codes = bytes(layout.code_bytes(layout.full)[1])
        scales = (1.0,) * layout.scales(layout.full)
        data = chunk_bytes(layout, layout.max_number, layout.full, codes, scales)
        assert len(data) <= max_chunk_bytes(layout)


@pytest.mark.parametrize("number", [-1, MONO_CHUNKS.max_number + 1])
def test_numbers_have_bounds(number: int) -> None:
    with pytest.raises(ValueError, match="no chunk"):
        chunk_bytes(MONO_CHUNKS, number, 1280, CODES)


@pytest.mark.parametrize("scale", [-1.0, math.inf, math.nan])
def test_scales_are_finite_and_not_negative(scale: float) -> None:
    codes = bytes(STEREO_CHUNKS.code_bytes(100)[0])
    with pytest.raises(ValueError, match="scale"):
        chunk_bytes(STEREO_CHUNKS, 0, 100, codes, (scale,))
    good = chunk_bytes(STEREO_CHUNKS, 0, 100, codes, (1.0,))
    bad = good[:-4].replace(struct.pack("!f", 1.0), struct.pack("!f", scale))
    with pytest.raises(BitstreamError, match="scale"):
        read(sealed(bad, STEREO_CHUNKS), STEREO_CHUNKS)
    with pytest.raises(ValueError, match="scales for"):
        chunk_bytes(STEREO_CHUNKS, 0, 100, codes)


@pytest.mark.parametrize(
    "head",
    [
        b"\x00\0\x0a",  # no type
        b"\xee\0\x0a",  # the index's
        b"\xec\0\x09",  # one byte too few
        b"\xec\0\x0b",
        b"\xec\0\xff\xff\xff\x7f",
        b"\xec\x80\0\x0a",  # a number in more bytes than it needs
        b"\xec" + varint(2**56 - 1) + b"\x0a",  # further than audio can be long
        b"\xed\0\0\x0a",  # no samples
        b"\xed\0\x80\x0a\x0a",  # cut, yet full
        b"\xed\0" + varint(2**50) + b"\x0a",
        b"\xed\0\x01\x0a",  # 1 sample, 10 bytes
    ],
)
def test_a_head_that_does_not_fit_is_refused_before_its_payload_is_there(head: bytes) -> None:
    with pytest.raises(BitstreamError):
        read_head(head, 0, MONO_CHUNKS)


def test_part_of_a_head_is_none_yet() -> None:
    data = chunk_bytes(MONO_CHUNKS, 300, 321, CODES[:5])
    for end in range(6):
        assert read_head(data[:end], 0, MONO_CHUNKS) is None


@pytest.mark.parametrize(
    "other",
    [Header(f"{MONO}:1a2b3c4d", 2, 0, 4), Header(MONO, 2, 1, 4), Header(MONO, 2, 1, 5)],
)
def test_a_chunk_of_another_model_or_layout_is_damaged(other: Header) -> None:
    data = chunk_bytes(MONO_CHUNKS, 3, 1280, CODES)
    with pytest.raises(BitstreamError, match="checksum"):
        read(data, Layout(other))
    same = Header(MONO, 2, 0, 4, rate=8000, name="x", tags=(("A", "b"),))
    assert read(data, Layout(same)).codes == CODES
