"""Transcoding: other files of the same codes, made without the networks."""

import io
from itertools import product

import numpy as np
import pytest

from model_core.codec import (
    ChunkCompressor,
    Codec,
    Compressor,
    Recording,
    Stored1,
    iterate_now,
    open_stored,
    run_now,
    transcode,
)
from model_core.errors import (
    BitstreamError,
    TruncatedBitstreamError,
    UnsupportedBandwidthError,
    WeightsUnavailableError,
)
from tests.model_core.codec.narrow import narrow_codec
from tests.peers import NAMES, signal

RECORDING = Recording(44_100, 2, "talk.wav", (("TITLE", "A talk"),))


def file_of(codec: Codec, seconds: float, version: int, bandwidth: float, lm: bool) -> bytes:
    rate = codec.config.sample_rate
    x = signal(codec.config.channels, round(seconds * rate), rate, seed=4).numpy()
    if version == 1:
        chunks = ChunkCompressor(codec, bandwidth, lm, recording=RECORDING)
        return run_now(chunks.push(x)) + run_now(chunks.finish(777))
    compressor = Compressor(codec, bandwidth, lm)
    payload = run_now(compressor.push(x)) + run_now(compressor.finish())
    return compressor.header.to_bytes() + payload


def transcoded(codec: Codec, data: bytes, version: int, bandwidth: float, lm: bool) -> bytes:
    books = codec.config.codebooks_for(bandwidth)
    stored = open_stored(io.BytesIO(data))
    return b"".join(iterate_now(transcode(codec, stored, version, books, lm)))


def audio(codec: Codec, data: bytes, start: int = 0, end: int | None = None) -> np.ndarray:
    blocks = open_stored(io.BytesIO(data)).audio(codec, start=start, end=end)
    return np.concatenate(list(iterate_now(blocks)), axis=1)


KINDS = list(product((0, 1), (False, True)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("from_version", "from_lm"), KINDS)
def test_it_gives_the_file_that_compressing_gives(
    name: str, from_version: int, from_lm: bool
) -> None:
    codec = narrow_codec(name)
    whole = file_of(codec, 1.7, from_version, 6.0, from_lm)
    for to_version, to_lm in KINDS:
        for bandwidth in (6.0, 3.0):
            got = transcoded(codec, whole, to_version, bandwidth, to_lm)
            want = file_of(codec, 1.7, to_version, bandwidth, to_lm)
            if from_version == 0 and to_version == 1:  # which cannot know of the recording
                assert np.array_equal(audio(codec, got), audio(codec, want))
            else:
                assert got == want


@pytest.mark.parametrize("rest", [161, 300, 479, 480])
def test_an_end_that_cuts_two_segments(rest: int) -> None:
    """As they overlap, by so many samples beyond the last but one."""
    codec = narrow_codec("encodec_48khz")
    seconds = (3 * 47_520 + rest) / 48_000
    whole = file_of(codec, seconds, 0, 6.0, False)
    chunked = transcoded(codec, whole, 1, 6.0, False)
    assert np.array_equal(audio(codec, chunked), audio(codec, whole))
    assert transcoded(codec, transcoded(codec, chunked, 1, 6.0, True), 0, 6.0, False) == whole


def test_a_long_file_is_cut_into_chunks_again() -> None:
    codec = narrow_codec("encodec_24khz")
    whole = file_of(codec, 31.0, 0, 1.5, False)
    chunked = transcoded(codec, whole, 1, 1.5, False)
    stored = open_stored(io.BytesIO(chunked))
    assert isinstance(stored, Stored1)
    assert len(stored.file) == -(-31 * 75 // 76)
    assert transcoded(codec, chunked, 0, 1.5, False) == whole


def test_a_part_of_a_version_0_file_equals_that_part_of_the_whole() -> None:
    codec = narrow_codec("encodec_24khz")
    data = file_of(codec, 2.5, 0, 3.0, False)
    whole = audio(codec, data)
    for start, end in ((0, 1), (23_999, 24_001), (50_000, 60_000), (100, 200)):
        assert np.array_equal(audio(codec, data, start, end), whole[:, start:end])


def test_what_cannot_be_made() -> None:
    codec = narrow_codec("encodec_24khz")
    data = file_of(codec, 1.2, 1, 3.0, False)
    with pytest.raises(UnsupportedBandwidthError, match="codebooks"):
        transcoded(codec, data, 1, 6.0, False)
    with pytest.raises(TruncatedBitstreamError, match="no end"):
        transcoded(codec, data[:-30], 1, 1.5, False)
    with pytest.raises(BitstreamError):
        open_stored(io.BytesIO(b"ECDC\x02" + data[5:]))
    codec.lm = None
    with pytest.raises(WeightsUnavailableError):
        transcoded(codec, data, 0, 3.0, True)
