"""The push parser: the same chunks in whatever pieces the bytes come, and nothing unchecked."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.ecdc import Header as Version0
from model_core.ecdc.v1 import Header, Layout, Parser
from model_core.ecdc.v1.checksum import crc_of
from model_core.ecdc.v1.varint import varint
from model_core.errors import BitstreamError, TruncatedBitstreamError
from tests.model_core.ecdc.v1.files import (
    MONO,
    STEREO,
    Example,
    example,
    memory_below,
    parsed,
    small,
)

FILES = {
    "mono": small(),
    "full": small(samples=2560),
    "stereo": small(STEREO, samples=47_600, chunk=1),
    "coded": small(lm=3),
}
each_file = pytest.mark.parametrize("file", FILES.values(), ids=FILES.keys())


@each_file
@pytest.mark.parametrize("step", [0, 1, 2, 7, 64])
def test_a_file_in_pieces(file: Example, step: int) -> None:
    parser, chunks = parsed(file.data, step)
    assert (parser.header, chunks) == (file.header, file.chunks)
    assert parser.index is not None
    assert parser.index.samples == parser.progress.samples == file.samples
    assert parser.complete
    assert parser.end()


@settings(deadline=None, derandomize=True)
@given(
    st.sampled_from([MONO, STEREO]),
    st.integers(1, 60),
    st.integers(1, 200_000),
    st.integers(0, 2),
    st.integers(0, 2**53 - 1),
)
def test_any_length_comes_back(
    model: str, chunk: int, samples: int, lm: int, original: int
) -> None:
    chunk = min(chunk, 6) if lm and model == STEREO else chunk
    file = example(Header(model, 4, lm, chunk), samples, samples, original)
    parser, chunks = parsed(file.data, 10_000)
    assert chunks == file.chunks
    assert parser.end()
    assert parser.index is not None
    assert (parser.index.samples, parser.index.original_samples) == (samples, original)


@each_file
def test_a_file_that_grows_is_read_as_far_as_it_is(file: Example) -> None:
    parser, chunks = parsed(file.open, 5)
    assert chunks == file.chunks
    assert parser.end() is False
    parser.feed(file.pieces[-1])
    assert list(parser.chunks()) == []
    assert parser.end()


@each_file
def test_a_file_cut_anywhere_is_found_to_be(file: Example) -> None:
    bounds = file.bounds
    for size in range(len(file.data)):
        parser, chunks = parsed(file.data[:size])
        assert chunks == file.chunks[: sum(end <= size for end in bounds[1:])]
        if size in bounds:
            assert parser.end() is False
        else:
            with pytest.raises(TruncatedBitstreamError):
                parser.end()


def test_the_header_is_there_as_soon_as_its_bytes() -> None:
    file = FILES["mono"]
    parser = Parser()
    parser.feed(file.pieces[0][:-1])
    assert parser.header_bytes == 0
    with pytest.raises(TruncatedBitstreamError):
        parser.end()
    parser.feed(file.pieces[0][-1:])
    assert parser.header == file.header
    assert parser.header_bytes == len(file.pieces[0])


@pytest.mark.parametrize("after", [b"\0", b"ECDC", FILES["mono"].data])
def test_what_follows_the_end_is_an_error(after: bytes) -> None:
    for step in (0, 1):
        with pytest.raises(BitstreamError, match="follows the end"):
            parsed(FILES["mono"].data + after, step)


@pytest.mark.parametrize(
    "pieces",
    [
        *((0, 2, 3, 4), (0, 1, 3, 4), (0, 1, 2, 4), (0, 4), (0, 2, 1, 3, 4), (0, 1, 1, 2, 3, 4)),
        *((0, 1, 2, 3, 4, 3), (0, 0, 1, 2, 3, 4), (1, 2, 3, 4), (0, 1, 2, 3, 1, 4)),
    ],
)
def test_pieces_in_any_other_order_are_an_error(pieces: tuple[int, ...]) -> None:
    file = FILES["mono"]
    with pytest.raises(BitstreamError):
        parsed(b"".join(file.pieces[piece] for piece in pieces))


def test_chunks_of_another_file_are_an_error() -> None:
    """Each of them is intact and fits; the index knows."""
    file, other = (example(Header(MONO, 2, 0, 4), 3000, seed) for seed in (0, 1))
    mixed = [*file.pieces[:2], other.pieces[2], *file.pieces[3:]]
    assert len(b"".join(mixed)) == len(file.data)
    with pytest.raises(BitstreamError, match="does not list"):
        parsed(b"".join(mixed))


def test_another_version_is_an_error() -> None:
    with pytest.raises(BitstreamError, match="version 0"):
        parsed(Version0(MONO, 24_000, 8, False).to_bytes())


@pytest.mark.parametrize("lm", [0, 1])
def test_claims_are_refused_before_they_take_memory(lm: int) -> None:
    chunk = 1024 if lm else 9000
    header = dataclasses.replace(FILES["mono"].header, lm=lm, chunk=chunk)
    begin = header.to_bytes()
    forged = [
        b"\xec\0" + varint(2**50),
        b"\xed\0" + varint(2**50) + varint(2**50),
        b"\xec" + varint(2**55),
        b"\xee" + varint(2**30),
        b"\xee" + varint(2**55),
    ]
    for data in forged:
        parser = Parser()
        parser.feed(begin + data + bytes(100))
        with pytest.raises(BitstreamError), memory_below(50_000):
            list(parser.chunks())


def test_many_small_chunks_take_memory_in_proportion() -> None:
    file = example(Header(MONO, 2, 1, 1), 320 * 20_000, sizes=1)
    data = file.data
    del file
    with memory_below(10 * len(data)):
        parser = Parser()
        parser.feed(data)
        assert sum(1 for _ in parser.chunks()) == 20_000


def test_an_index_that_claims_other_audio_is_an_error() -> None:
    """With a checksum that holds."""
    file = FILES["mono"]
    end = file.pieces[-1]
    forged = bytearray(end[:-12])
    assert forged[2:4] == varint(3000)
    forged[2:4] = varint(3001)
    forged += crc_of(forged, Layout(file.header).crc)
    with pytest.raises(BitstreamError, match="does not list"):
        parsed(file.open + bytes(forged) + end[-8:])


def test_a_late_stream_begins_with_any_chunk_and_has_no_index() -> None:
    file = FILES["mono"]
    parser = Parser()
    parser.feed(file.data)
    chunks = [(chunk, parser.chunk_data) for chunk in parser.chunks()]
    assert len(chunks) > 2
    head = file.data[: parser.header_bytes]
    body = b"".join(data for _, data in chunks)
    assert file.data.startswith(head + body)
    late = Parser(late=True)
    late.feed(head + b"".join(data for _, data in chunks[1:]))
    assert list(late.chunks()) == [chunk for chunk, _ in chunks[1:]]
    assert late.progress.samples == file.samples
    assert not late.end()
    late.feed(file.data[len(head + body) :])
    with pytest.raises(BitstreamError):
        list(late.chunks())


def test_a_late_stream_has_no_gaps() -> None:
    file = FILES["mono"]
    parser = Parser()
    parser.feed(file.data)
    chunks = [parser.chunk_data for _ in parser.chunks()]
    late = Parser(late=True)
    late.feed(file.data[: parser.header_bytes] + chunks[0] + chunks[2])
    with pytest.raises(BitstreamError, match="follow"):
        list(late.chunks())
