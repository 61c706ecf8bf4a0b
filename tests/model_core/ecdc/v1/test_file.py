"""Random access by the index, and without one."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.ecdc.v1 import ChunkFile, Header, Layout
from model_core.ecdc.v1.checksum import crc_of
from model_core.ecdc.v1.varint import varint
from model_core.errors import BitstreamError, TruncatedBitstreamError
from tests.model_core.ecdc.v1.files import MONO, STEREO, Example, example, small

FILE = small()


class Counted(io.BytesIO):
    """Counts the bytes read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def open_file(data: bytes) -> ChunkFile:
    return ChunkFile(io.BytesIO(data))


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    st.sampled_from([MONO, STEREO]),
    st.integers(1, 5),
    st.integers(1, 300_000),
    st.integers(0, 1),
    st.data(),
)
def test_every_chunk_by_its_number_and_by_a_sample(
    model: str, chunk: int, samples: int, lm: int, data: st.DataObject
) -> None:
    whole = example(Header(model, 2, lm, chunk), samples, samples, 7)
    for content in (whole.data, whole.open):
        file = open_file(content)
        assert file.header == whole.header
        assert (len(file), file.samples) == (len(whole.chunks), samples)
        assert file.complete == (content == whole.data)
        assert file.original_samples == (7 if file.complete else 0)
        start = data.draw(st.integers(0, len(file)))
        assert list(file.chunks(start)) == whole.chunks[start:]
        sample = data.draw(st.integers(0, samples - 1))
        found = file.chunk_at(sample)
        assert found == [c for c in whole.chunks if c.start <= sample < c.start + c.samples][-1]


@pytest.mark.parametrize("sample", [-1, 3000])
def test_a_sample_that_is_not_there(sample: int) -> None:
    with pytest.raises(IndexError):
        open_file(FILE.data).chunk_at(sample)


def test_only_the_chunk_asked_for_is_read() -> None:
    whole = example(Header(MONO, 8, 0, 76), 24_000 * 900)
    fo = Counted(whole.data)
    file = ChunkFile(fo)
    assert file.chunk_at(24_000 * 700) == whole.chunks[690]
    assert fo.count < 70_000 < len(whole.data) / 9


def test_a_file_cut_anywhere_is_as_long_as_its_whole_chunks() -> None:
    for size in range(FILE.bounds[0], len(FILE.data)):
        file = open_file(FILE.data[:size])
        assert not file.complete
        whole = sum(end <= size for end in FILE.bounds[1:])
        assert list(file.chunks()) == FILE.chunks[:whole]
        assert file.samples == sum(chunk.samples for chunk in FILE.chunks[:whole])
    for size in range(FILE.bounds[0]):
        with pytest.raises(TruncatedBitstreamError):
            open_file(FILE.data[:size])


def test_a_damaged_chunk_leaves_the_others() -> None:
    changed = bytearray(FILE.data)
    changed[FILE.bounds[1] + 5] ^= 1
    file = open_file(bytes(changed))
    assert file.chunk(0) == FILE.chunks[0]
    assert file.chunk(2) == FILE.chunks[2]
    with pytest.raises(BitstreamError):
        file.chunk(1)


def swapped(file: Example, first: int, second: int) -> bytes:
    pieces = list(file.pieces)
    pieces[first], pieces[second] = pieces[second], pieces[first]
    return b"".join(pieces)


def test_a_chunk_in_anothers_place_is_an_error() -> None:
    file = open_file(swapped(FILE, 1, 2))
    for number in (0, 1):
        with pytest.raises(BitstreamError, match="another"):
            file.chunk(number)


@pytest.mark.parametrize(
    "trailer",
    [varint(0) * 4, b"\0\0\0\x01", b"\xff" * 4, (2**20).to_bytes(4, "big"), b"\0\0\0\x20"],
)
def test_a_trailer_that_points_elsewhere_is_an_error(trailer: bytes) -> None:
    with pytest.raises(BitstreamError):
        open_file(FILE.data[:-8] + trailer + b"ECDX")


@pytest.mark.parametrize("begin", [b"\0", b"\xee" + varint(999_980)])
def test_an_index_that_is_none_is_not_read(begin: bytes) -> None:
    """Nor held in memory, however long the trailer says that it is."""
    size = 1_000_000
    false = begin + bytes(size - len(begin)) + size.to_bytes(4, "big") + b"ECDX"
    fo = Counted(FILE.open + false)
    with pytest.raises(BitstreamError):
        ChunkFile(fo)
    assert fo.count < size // 2


def test_an_index_of_more_than_the_file_holds_is_an_error() -> None:
    """With a checksum that holds, and a count that no memory would."""
    payload = varint(1280 * 2**40) + b"\0" + bytes(4) + varint(2**41 + 1) + varint(17)
    index = b"\xee" + varint(len(payload)) + payload
    index += crc_of(index, Layout(FILE.header).crc)
    trailer = len(index).to_bytes(4, "big") + b"ECDX"
    with pytest.raises(BitstreamError, match="more chunks"):
        open_file(FILE.open + index + trailer)
