"""Damaged files: what is intact sounds as before, the rest is silent."""

import io
import random
import time
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.codec import (
    Codec,
    Compressor,
    Salvaged,
    SalvagedChunks,
    iterate_now,
    open_stored,
    run_now,
    salvage_payload,
)
from model_core.codec import seeking as seeking_module
from model_core.codec.stored import Stored0
from model_core.ecdc.v1 import Chunk, Header, Layout, Salvage, Writer
from model_core.ecdc.v1.chunk import chunk_bytes
from model_core.errors import BitstreamError, TruncatedBitstreamError
from tests.model_core.codec.narrow import narrow_codec
from tests.model_core.codec.test_chunked import sound, version1
from tests.model_core.ecdc.v1.files import memory_below
from tests.peers import NAMES

FADE = {"encodec_24khz": 240, "encodec_48khz": 480}


@cache
def codec_of(name: str) -> Codec:
    return narrow_codec(name)


@cache
def file(name: str, lm: bool = False, seconds: float = 6.3) -> bytes:
    """Chunks of 0.25 s at 24 kHz, of a segment at 48 kHz."""
    codec = codec_of(name)
    return version1(codec, sound(codec, seconds), lm, chunk=19 if codec.config.causal else 1)


def bounds(data: bytes) -> list[int]:
    """Where chunks begin, and the last one ends."""
    salvage = Salvage(io.BytesIO(data))
    places = [salvage.place for part in salvage if isinstance(part, Chunk)]
    return [place for place, _ in places] + [sum(places[-1])]


def without(data: bytes, *numbers: int) -> bytes:
    """The file with a byte wrong in some chunks."""
    changed = bytearray(data)
    for number in numbers:
        changed[bounds(data)[number] + 20] ^= 1
    return bytes(changed)


def samples_of(
    codec: Codec, salvaged: Salvaged, start: int = 0, end: int | None = None
) -> np.ndarray:
    return np.concatenate(list(iterate_now(salvaged.audio(codec, start=start, end=end))), axis=1)


def salvaged(codec: Codec, data: bytes) -> np.ndarray:
    return samples_of(codec, SalvagedChunks(io.BytesIO(data)))


def decoded(codec: Codec, data: bytes) -> np.ndarray:
    blocks = open_stored(io.BytesIO(data)).audio(codec)
    return np.concatenate(list(iterate_now(blocks)), axis=1)


def alone(data: bytes, first: int, last: int) -> bytes:
    """A whole file of chunks `first` to `last` alone."""
    chunks = [part for part in Salvage(io.BytesIO(data)) if isinstance(part, Chunk)]
    header = Salvage(io.BytesIO(data)).header
    writer = Writer(header)
    pieces = [writer.header()]
    for chunk in chunks[first : last + 1]:
        pieces.append(writer.chunk(chunk.samples, chunk.codes, chunk.scales))
    return b"".join([*pieces, writer.finish()])


def runs(lost: set[int], chunks: int) -> list[tuple[int, int]]:
    """First and last chunk of each run."""
    there = [n for n in range(chunks) if n not in lost]
    begins = [n for n in there if n - 1 not in there]
    ends = [n for n in there if n + 1 not in there]
    return list(zip(begins, ends, strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lm", [False, True])
def test_an_intact_file_gives_the_same_samples(name: str, lm: bool) -> None:
    codec = codec_of(name)
    for data in (file(name, lm), file(name, lm, 2.0)):
        whole = SalvagedChunks(io.BytesIO(data))
        assert np.array_equal(samples_of(codec, whole), decoded(codec, data))
        assert (whole.lost, whole.gaps, whole.known_end) == (0, 0, True)
        assert whole.size == len(data)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.sampled_from(NAMES), st.booleans(), st.sets(st.integers(0, 25), min_size=1, max_size=8))
def test_what_is_intact_is_in_its_place_and_the_rest_is_silent(
    name: str, lm: bool, wanted: set[int]
) -> None:
    codec, data = codec_of(name), file(name, lm)
    layout = Layout(Salvage(io.BytesIO(data)).header)
    chunks = len(bounds(data)) - 1
    lost = {n for n in wanted if n < chunks}
    whole = decoded(codec, data)
    total, fade, stride = whole.shape[1], FADE[name], layout.stride
    found = SalvagedChunks(io.BytesIO(without(data, *lost)))
    samples = samples_of(codec, found)
    assert samples.shape == whole.shape
    silent = np.ones(total, bool)
    for first, last in runs(lost, chunks):
        begin = first * stride
        end = min(total, last * stride + layout.full)
        silent[begin:end] = False
        left = begin + (fade if begin else 0)
        right = end - (fade if end < total else 0)
        if codec.config.causal:
            # The decoder begins anew: as that of a file that begins here.
            want = decoded(codec, alone(data, first, last))
            assert np.array_equal(samples[:, left:right], want[:, left - begin : right - begin])
        if first == 0 or not codec.config.causal:
            pairs = samples[:, left:right], whole[:, left:right]
            # Where nothing is left but the end, its weights may differ in the last bit.
            assert np.allclose(*pairs, 1e-6, 0) if first == chunks - 1 else np.array_equal(*pairs)
        for edge in ([begin] if begin else []) + ([end - 1] if end < total else []):
            assert np.abs(samples[:, edge]).max() < 0.01 * np.abs(whole).max() + 1e-9
    assert not samples[:, silent].any()
    assert found.lost == silent.sum()
    assert found.gaps == np.diff(silent.astype(int), prepend=0).clip(0).sum()
    start, end = total // 3, total // 2
    assert np.array_equal(samples_of(codec, found, start, end), samples[:, start:end])


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.sampled_from(NAMES), st.integers(0, 2**32), st.integers(1, 4))
def test_any_damage_leaves_audio_or_is_refused(name: str, seed: int, hits: int) -> None:
    """Bytes changed, added, taken away or cut off, also in the header and in the index."""
    codec, draw = codec_of(name), random.Random(seed)
    data, length = bytearray(file(name)), decoded(codec, file(name)).shape[1]
    for _ in range(hits):
        place, size = draw.randrange(len(data)), draw.choice([1, 20, 300])
        data[place : place + draw.choice([0, size])] = draw.randbytes(draw.choice([0, size]))
    if draw.random() < 0.3:
        del data[draw.randrange(len(data)) :]
    try:
        found = SalvagedChunks(io.BytesIO(bytes(data)))
    except BitstreamError:
        return
    samples = samples_of(codec, found)
    assert samples.shape[1] == found.samples <= length
    assert np.isfinite(samples).all()
    assert found.samples == length or not found.known_end


@pytest.mark.parametrize("name", NAMES)
def test_restarts_of_a_long_file_stay_where_they_are(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeking_module, "RESTART", 100)
    monkeypatch.setattr(seeking_module, "PREROLL", 30)
    codec, data = codec_of(name), file(name)
    lost = len(bounds(data)) - 3
    whole = decoded(codec, data)
    samples = salvaged(codec, without(data, lost))
    end = np.flatnonzero((samples != whole).any(axis=0))[0]
    stride = Layout(Salvage(io.BytesIO(data)).header).stride
    assert end >= lost * stride - FADE["encodec_24khz"]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_without_its_end_is_as_long_as_what_is_left(name: str) -> None:
    codec, data = codec_of(name), file(name)
    whole, cut = decoded(codec, data), bounds(data)[3] + 5
    found = SalvagedChunks(io.BytesIO(data[:cut]))
    layout = Layout(found.header)  # type: ignore[arg-type]
    assert found.samples == 2 * layout.stride + layout.full
    assert (found.lost, found.gaps, found.known_end) == (0, 0, False)
    samples = samples_of(codec, found)
    right = samples.shape[1] - FADE[name]
    assert np.array_equal(samples[:, :right], whole[:, :right])
    assert np.abs(samples[:, -1]).max() < 0.01 * np.abs(whole).max()


def test_nothing_left_is_refused() -> None:
    data = file("encodec_24khz")
    with pytest.raises(BitstreamError, match="no chunk"):
        SalvagedChunks(io.BytesIO(data[: bounds(data)[0]]))
    with pytest.raises(BitstreamError, match="header"):
        SalvagedChunks(io.BytesIO(b"ECDC\x01" + bytes(100)))
    with pytest.raises(ValueError, match="samples 5 to 5"):
        samples_of(codec_of("encodec_24khz"), SalvagedChunks(io.BytesIO(data)), 5, 5)


def test_a_forged_gap_costs_no_memory_and_little_time() -> None:
    codec, data = codec_of("encodec_24khz"), file("encodec_24khz", seconds=2.0)
    layout = Layout(Salvage(io.BytesIO(data)).header)
    chunk = next(part for part in Salvage(io.BytesIO(data)) if isinstance(part, Chunk))
    number = 36_000 * 24_000 // layout.stride
    one = chunk_bytes(layout, number, chunk.samples, chunk.codes, chunk.scales)
    forged = data[: bounds(data)[4]] + one
    found = SalvagedChunks(io.BytesIO(forged))
    assert found.samples > 36_000 * 24_000 - layout.stride
    began, length = time.monotonic(), 0
    with memory_below(20_000_000):
        for block in iterate_now(found.audio(codec)):
            length += block.shape[1]
    assert length == found.samples
    assert time.monotonic() - began < 10


def test_chunks_that_contradict_each_other_are_left_out() -> None:
    codec = codec_of("encodec_48khz")
    header = Header(codec.name, 2, 0, 1)
    long, short = (
        version1(codec, sound(codec, 4.0)[:, :n], False, chunk=1)
        for n in (3 * 47_520, 47_520 + 100)
    )
    assert Layout(header).full == 48_000
    for good, other in ((long, short), (short, long)):
        cut = good[: bounds(good)[1]] + other[bounds(other)[1] :]
        found = SalvagedChunks(io.BytesIO(cut))
        assert samples_of(codec, found).shape[1] == found.samples


def test_many_short_runs_cost_little_memory() -> None:
    codec = codec_of("encodec_24khz")
    header = Header(codec.name, 2, 0, 1)
    writer, pieces = Writer(header), []
    for _ in range(40_000):
        pieces.append(writer.chunk(320, bytes(3)))
    data = header.to_bytes() + b"".join(pieces[::2])
    with memory_below(10 * len(data) + 1_000_000):
        found = SalvagedChunks(io.BytesIO(data))
    assert found.gaps == 19_999
    assert found.lost == 19_999 * 320
    some = SalvagedChunks(io.BytesIO(data), enough=24_000)
    assert 24_000 < some.samples <= 24_000 + 640


def test_a_chunk_that_comes_again_is_left_out() -> None:
    codec, data = codec_of("encodec_24khz"), file("encodec_24khz", seconds=2.0)
    at = bounds(data)
    again = data[: at[3]] + data[at[2] : at[3]] * 50 + data[at[3] :]
    np.testing.assert_array_equal(salvaged(codec, again), decoded(codec, data))


def payload0(name: str, lm: bool) -> tuple[Stored0, bytes]:
    codec = codec_of(name)
    compressor = Compressor(codec, 3.0, lm)
    x = sound(codec, 2.3)
    payload = run_now(compressor.push(x)) + run_now(compressor.finish())
    data = compressor.header.to_bytes() + payload
    stored = open_stored(io.BytesIO(data))
    assert isinstance(stored, Stored0)
    return stored, data


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lm", [False, True])
def test_version_0_goes_as_far_as_its_codes(name: str, lm: bool) -> None:
    codec = codec_of(name)
    stored, data = payload0(name, lm)
    whole = decoded(codec, data)
    found = run_now(salvage_payload(codec, stored))
    assert np.array_equal(samples_of(codec, found), whole)
    assert (found.lost, found.gaps, found.size) == (0, 0, len(data))
    for part in (0.55, 0.75, 0.99):
        cut = data[: stored.begin + round(part * stored.payload_bytes)]
        short = open_stored(io.BytesIO(cut))
        assert isinstance(short, Stored0)
        found = run_now(salvage_payload(codec, short))
        samples = samples_of(codec, found)
        assert samples.shape == whole.shape
        there = whole.shape[1] - found.lost
        assert (found.gaps, found.known_end) == (1, True)
        assert not samples[:, there:].any()
        assert abs(there / whole.shape[1] - part) < (0.15 if not lm else 0.5)
        # At 48 kHz the last segment that is there lacks its end, and is decoded without.
        stride = codec.config.segment_stride
        same = there - 240 if stride is None else (there - 1) // stride * stride
        assert np.array_equal(samples[:, :same], whole[:, :same])
        with pytest.raises(TruncatedBitstreamError):
            decoded(codec, cut)


def test_version_0_without_codes_is_refused() -> None:
    stored, data = payload0("encodec_24khz", False)
    short = open_stored(io.BytesIO(data[: stored.begin + 4]))
    assert isinstance(short, Stored0)
    with pytest.raises(TruncatedBitstreamError):
        run_now(salvage_payload(codec_of("encodec_24khz"), short))
