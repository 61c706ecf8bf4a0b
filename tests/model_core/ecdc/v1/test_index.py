"""The index and its trailer."""

import pytest

from model_core.ecdc.v1 import Header, Index, Layout
from model_core.ecdc.v1.checksum import crc_of
from model_core.ecdc.v1.index import index_bytes, read_index, read_lengths_of_audio
from model_core.ecdc.v1.index import trailer_points_at as points_at
from model_core.ecdc.v1.lengths import Lengths
from model_core.ecdc.v1.varint import varint
from model_core.errors import BitstreamError
from tests.model_core.ecdc.v1.files import MONO

LAYOUT = Layout(Header(MONO, 2, 0, 4))  # 1,280 samples a chunk


def index(samples: int = 3000, sizes: tuple[int, ...] = (17, 17, 14)) -> Index:
    lengths = Lengths()
    for size in sizes:
        lengths.add(size)
    return Index(samples, 5512, b"abcd", lengths)


def of(payload: bytes) -> bytes:
    data = b"\xee" + varint(len(payload)) + payload
    return data + crc_of(data, LAYOUT.crc)


def test_bytes() -> None:
    data = index().to_bytes(LAYOUT)
    inner = of(varint(3000) + varint(5512) + b"abcd" + b"\x06\x11\x11\x0e")
    assert data == inner + len(inner).to_bytes(4, "big") + b"ECDX"
    assert points_at(data[-8:]) == len(inner)
    assert read_index(inner, LAYOUT, 48) == index()
    assert read_lengths_of_audio(inner, LAYOUT)[:2] == (3000, 5512)


def test_its_length_is_known_early_and_bounded_by_the_chunks() -> None:
    inner = index().to_bytes(LAYOUT)[:-8]
    assert index_bytes(inner[:1], 3) is None
    assert index_bytes(inner[:2], 3) == len(inner)
    with pytest.raises(BitstreamError, match="bytes long"):
        index_bytes(b"\xee" + varint(64 + 4 * 3 + 1), 3)


@pytest.mark.parametrize(
    "data",
    [
        index().to_bytes(LAYOUT)[:-9] + b"!",  # checksum
        index(samples=2560).to_bytes(LAYOUT)[:-8],  # two chunks hold that
        index(samples=3841).to_bytes(LAYOUT)[:-8],  # takes four
        index(sizes=(17, 17, 13)).to_bytes(LAYOUT)[:-8],
        index(sizes=(17, 17, 15)).to_bytes(LAYOUT)[:-8],
        of(b""),
        of(b"\0"),
        of(varint(2**53) + b"\0abcd"),
        of(b"\0\0abcd"),
        of(varint(3000) + b"\0abc"),
        b"",
        b"\xee",
    ],
)
def test_what_does_not_fit_the_file_is_refused(data: bytes) -> None:
    with pytest.raises(BitstreamError):
        read_index(data, LAYOUT, 48)


def test_other_bytes_are_no_trailer() -> None:
    assert points_at(b"\0\0\0\x10ECDC") is None
    assert points_at(b"\0\x10ECDX") is None
