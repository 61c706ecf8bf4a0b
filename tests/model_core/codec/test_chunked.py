"""Version 1 files: what they hold is what version 0 holds, and any part of them decodes alone."""

import io

import numpy as np
import pytest

from model_core.codec import (
    ChunkCompressor,
    ChunkDecompressor,
    Codec,
    Compressor,
    Decompressor,
    Recording,
    iterate_now,
    run_now,
)
from model_core.codec import seeking as seeking_module
from model_core.ecdc import read_header
from model_core.ecdc.v1 import ChunkFile, Salvage, verify
from model_core.errors import BitstreamError, InvalidAudioError, WeightsUnavailableError
from tests.model_core.codec.narrow import narrow_codec
from tests.peers import NAMES, signal


def version1(
    codec: Codec, x: np.ndarray, lm: bool, step: int = 50_000, chunk: int | None = None
) -> bytes:
    recording = Recording(44_100, 2, "talk.wav", (("TITLE", "A talk"),))
    compressor = ChunkCompressor(codec, 3.0, lm, recording=recording, chunk=chunk)
    data = b"".join(
        run_now(compressor.push(x[:, start : start + step])) for start in range(0, x.shape[1], step)
    )
    return data + run_now(compressor.finish(original_samples=12345))


def decoded(codec: Codec, data: bytes, start: int = 0, end: int | None = None) -> np.ndarray:
    blocks = ChunkDecompressor(codec, ChunkFile(io.BytesIO(data))).blocks(start, end)
    return np.concatenate(list(iterate_now(blocks)), axis=1)


def version0(codec: Codec, x: np.ndarray) -> np.ndarray:
    compressor = Compressor(codec, 3.0)
    payload = run_now(compressor.push(x)) + run_now(compressor.finish())
    file = io.BytesIO(compressor.header.to_bytes() + payload)
    header = read_header(file)
    return np.concatenate(list(iterate_now(Decompressor(codec, header, file).blocks())), axis=1)


def sound(codec: Codec, seconds: float) -> np.ndarray:
    rate = codec.config.sample_rate
    x: np.ndarray = signal(codec.config.channels, round(seconds * rate), rate, seed=3).numpy()
    return x


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lm", [False, True])
def test_a_short_file_holds_the_audio_of_version_0(name: str, lm: bool) -> None:
    codec = narrow_codec(name)
    x = sound(codec, 3.3)
    data = version1(codec, x, lm)
    assert np.array_equal(decoded(codec, data), version0(codec, x))
    summary = verify(io.BytesIO(data))
    assert summary.complete
    assert (summary.samples, summary.original_samples) == (x.shape[1], 12345)
    assert summary.header.tags == (("TITLE", "A talk"),)
    assert version1(codec, x, lm, step=777) == data


@pytest.mark.parametrize("name", NAMES)
def test_threads_share_the_chunks_of_a_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codec, alone = narrow_codec(name, threads=2), narrow_codec(name)
    x = sound(alone, 9.3)
    data = version1(alone, x, lm=True)
    assert version1(codec, x, lm=True) == data
    exact = codec.require_lm().exact()
    decode, used = exact.decode, []

    def decode_and_tell(
        chunks: list[tuple[bytes, int]], books: int, threads: int
    ) -> list[np.ndarray | None]:
        used.append((len(chunks), threads))
        return decode(chunks, books, threads)

    monkeypatch.setattr(exact, "decode", decode_and_tell)
    assert np.array_equal(decoded(codec, data), decoded(alone, data))
    assert used[0] == (min(8, len(ChunkFile(io.BytesIO(data)))), 2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lm", [False, True])
def test_every_length_comes_back(name: str, lm: bool) -> None:
    codec = narrow_codec(name)
    hop, rate = codec.config.hop_length, codec.config.sample_rate
    lengths = [1, 2, hop - 1, hop, hop + 1, 7 * hop, rate - 1, rate, rate + 1, rate + 17]
    if codec.config.segment_stride:
        stride = codec.config.segment_stride
        lengths += [stride - 1, stride, stride + 1, stride + 200, 2 * stride + 1]
    for length in lengths:
        x = sound(codec, 3.0)[:, :length]
        assert np.array_equal(decoded(codec, version1(codec, x, lm)), version0(codec, x)), length


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lm", [False, True])
def test_any_part_equals_that_part_of_the_whole(
    name: str, lm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Restarts closer together, so that a few seconds have several of them.
    monkeypatch.setattr(seeking_module, "RESTART", 100)
    monkeypatch.setattr(seeking_module, "PREROLL", 30)
    codec = narrow_codec(name)
    x = sound(codec, 5.2)
    whole_length = x.shape[1]
    for chunk in (None, 1, 2):
        data = version1(codec, x, lm, chunk=chunk)
        whole = decoded(codec, data)
        assert whole.shape == x.shape
        random = np.random.default_rng(1)
        hop, stride = codec.config.hop_length, codec.config.segment_stride or 32_000
        parts = [(0, 1), (whole_length - 1, whole_length), (0, whole_length)]
        parts += [(stride * n + d, whole_length) for n in (1, 2) for d in (-1, 0, 1, 2 * hop)]
        parts += [tuple(sorted(random.integers(0, whole_length, 2))) for _ in range(12)]
        for start, end in parts:
            if start < end:
                part = decoded(codec, data, int(start), int(end))
                assert np.array_equal(part, whole[:, start:end]), (chunk, start, end)


@pytest.mark.parametrize("chunk", [1, 2])
def test_a_part_of_the_end_equals_it_where_the_end_cuts_two_segments(chunk: int) -> None:
    codec = narrow_codec("encodec_48khz")
    data = version1(codec, sound(codec, 3.0)[:, : 2 * 47_520 + 80], False, chunk=chunk)
    whole = decoded(codec, data)
    for start in (47_510, 47_530, 2 * 47_520 - 1, 2 * 47_520, 2 * 47_520 + 10):
        assert np.array_equal(decoded(codec, data, start), whole[:, start:]), start


def test_a_restart_goes_over_without_a_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = narrow_codec("encodec_24khz")
    x = sound(codec, 6.0)
    data = version1(codec, x, lm=False)
    once = decoded(codec, data)
    monkeypatch.setattr(seeking_module, "RESTART", 200)
    monkeypatch.setattr(seeking_module, "PREROLL", 100)
    restarted = decoded(codec, data)
    hop = codec.config.hop_length
    assert np.array_equal(restarted[:, : 200 * hop], once[:, : 200 * hop])
    difference = np.abs(restarted - once)
    assert difference[:, 200 * hop :].max() > 0
    assert difference[:, 200 * hop] < difference.max() / 100 + 1e-6


def test_a_file_without_its_end_is_as_long_as_its_chunks() -> None:
    codec = narrow_codec("encodec_24khz")
    x = sound(codec, 5.0)
    compressor = ChunkCompressor(codec, 3.0)
    data = run_now(compressor.push(x))
    whole = decoded(codec, data + run_now(compressor.finish()))
    live = decoded(codec, data)
    assert 24_000 < live.shape[1] <= x.shape[1]
    assert np.array_equal(live[:, :-7680], whole[:, : live.shape[1] - 7680])


@pytest.mark.parametrize("lm", [False, True])
def test_any_damage_is_found(lm: bool) -> None:
    codec = narrow_codec("encodec_24khz")
    data = version1(codec, sound(codec, 1.5), lm)
    for place in np.random.default_rng(2).integers(0, len(data), 60):
        wrong = bytearray(data)
        wrong[place] ^= 1 << int(place) % 8
        with pytest.raises(BitstreamError):
            decoded(codec, bytes(wrong))
    assert any(True for _ in Salvage(io.BytesIO(data)))


def test_what_cannot_be_coded_or_read() -> None:
    codec = narrow_codec("encodec_24khz")
    with pytest.raises(InvalidAudioError):
        run_now(ChunkCompressor(codec, 3.0).finish())
    with pytest.raises(BitstreamError, match="chunk"):
        ChunkCompressor(codec, 3.0, chunk=0)
    data = version1(codec, sound(codec, 1.0), lm=True)
    codec.lm = None
    with pytest.raises(WeightsUnavailableError):
        decoded(codec, data)
    for start, end in ((0, 0), (-1, 5), (5, 24_001), (24_000, None)):
        with pytest.raises(ValueError, match="samples"):
            decoded(narrow_codec("encodec_24khz"), data, start, end)
