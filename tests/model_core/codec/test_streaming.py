"""Live streams: encoded in steps and decoded chunk by chunk, they are what the whole file is."""

import io
from collections.abc import Sequence

import numpy as np
import pytest

from model_core.codec import ChunkCompressor, ChunkDecompressor, Codec, iterate_now, run_now
from model_core.codec import seeking as seeking_module
from model_core.codec import streaming as streaming_module
from model_core.codec.streaming import StreamDecompressor
from model_core.ecdc.v1 import ChunkFile, Header, Parser
from model_core.errors import BitstreamError
from tests.model_core.codec.narrow import narrow_codec
from tests.peers import signal

LENGTHS = [100, 320, 2239, 2240, 2241, 9000, 30_000]


@pytest.fixture(scope="module")
def codec() -> Codec:
    return narrow_codec("encodec_24khz")


def sound(samples: int) -> np.ndarray:
    x: np.ndarray = signal(1, max(samples, 2400), 24_000, seed=3).numpy()[:, :samples]
    return x


def file_of(
    codec: Codec, x: np.ndarray, chunk: int, step: int | None = None, lm: bool = False
) -> bytes:
    """Of samples that are pushed in pieces of many sizes where there is a step."""
    compressor = ChunkCompressor(codec, 6.0, lm, chunk=chunk, step=step)
    sizes = np.random.default_rng(0).integers(1, 2000, 10_000) if step else [x.shape[1]]
    data, start = b"", 0
    for size in sizes:
        data += run_now(compressor.push(x[:, start : start + size]))
        start += size
        if start >= x.shape[1]:
            break
    return data + run_now(compressor.finish())


def decoded(codec: Codec, file: bytes, sizes: Sequence[int]) -> np.ndarray:
    """A live stream that comes in pieces of these sizes, in turn."""
    parser = Parser(late=True)
    stream: StreamDecompressor | None = None
    parts = []
    at = turn = 0
    while at < len(file):
        parser.feed(file[at : at + sizes[turn % len(sizes)]])
        at, turn = at + sizes[turn % len(sizes)], turn + 1
        chunks = list(parser.chunks())
        if parser.header is not None:
            stream = stream or StreamDecompressor(codec, parser.layout)
            parts.append(run_now(stream.push(chunks))) if chunks else None
    assert stream is not None
    parts.append(run_now(stream.finish()))
    return np.concatenate(parts, axis=1)


def whole(codec: Codec, file: bytes) -> np.ndarray:
    blocks = ChunkDecompressor(codec, ChunkFile(io.BytesIO(file))).blocks()
    return np.concatenate(list(iterate_now(blocks)), axis=1)


@pytest.mark.parametrize("samples", LENGTHS)
@pytest.mark.parametrize("step", [1, 3, 8, 75])
def test_steps_give_the_file_that_whole_blocks_give(codec: Codec, samples: int, step: int) -> None:
    x = sound(samples)
    assert file_of(codec, x, step, step) == file_of(codec, x, step)


def test_a_chunk_may_be_of_many_steps(codec: Codec) -> None:
    x = sound(50_000)
    assert file_of(codec, x, 75, 5, lm=True) == file_of(codec, x, 75, lm=True)


def test_a_step_gives_its_chunk_at_once(codec: Codec) -> None:
    compressor = ChunkCompressor(codec, 6.0, chunk=1, step=1)
    x = sound(320 * 20)
    parser = Parser()
    for frame in range(20):
        parser.feed(run_now(compressor.push(x[:, 320 * frame : 320 * (frame + 1)])))
        given = sum(1 for _ in parser.chunks())
        assert given == (7 if frame == 6 else 0 if frame < 6 else 1)


@pytest.mark.parametrize("step", [0, 76])
def test_steps_that_cannot_be_are_refused(codec: Codec, step: int) -> None:
    with pytest.raises(ValueError, match="steps of 1 to 75 frames"):
        ChunkCompressor(codec, 6.0, step=step)


def test_a_model_that_is_not_causal_has_no_steps() -> None:
    with pytest.raises(ValueError, match="causal"):
        ChunkCompressor(narrow_codec("encodec_48khz"), 6.0, step=1)


@pytest.mark.parametrize("samples", LENGTHS)
@pytest.mark.parametrize("chunk", [1, 4, 75])
def test_a_stream_decodes_to_the_samples_of_the_file(
    codec: Codec, samples: int, chunk: int
) -> None:
    file = file_of(codec, sound(samples), chunk)
    assert np.array_equal(decoded(codec, file, [97, 3]), whole(codec, file))


def test_the_language_model_codes_streams_too(codec: Codec) -> None:
    file = file_of(codec, sound(40_000), 30, lm=True)
    assert np.array_equal(decoded(codec, file, [50]), whole(codec, file))


def test_chunks_that_are_too_long_for_the_language_model_are_refused(codec: Codec) -> None:
    file = file_of(codec, sound(40_000), 1024, lm=True)
    assert np.array_equal(decoded(codec, file, [50]), whole(codec, file))
    with pytest.raises(BitstreamError, match=r"chunk is not in 1\.\.1024"):
        Header(codec.require_lm().name, 8, 1, 1025)


@pytest.mark.parametrize("frames", [90, 91, 92, 97, 180, 181, 200])
@pytest.mark.parametrize("chunk", [1, 4, 50])
def test_the_decoder_begins_anew_where_that_of_the_file_does(
    codec: Codec, frames: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (seeking_module, streaming_module):
        monkeypatch.setattr(module, "RESTART", 90)
        monkeypatch.setattr(module, "PREROLL", 20)
    file = file_of(codec, sound(320 * frames - 5), chunk)
    for sizes in ([40], [len(file)]):
        assert np.array_equal(decoded(codec, file, sizes), whole(codec, file))


@pytest.mark.parametrize("first", [1, 5, 60, 70, 74, 80])
def test_a_late_listener_hears_the_same_after_a_while(
    codec: Codec, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (seeking_module, streaming_module):
        monkeypatch.setattr(module, "RESTART", 90)
        monkeypatch.setattr(module, "PREROLL", 20)
    file = file_of(codec, sound(320 * 400), 1)
    parser = Parser()
    parser.feed(file)
    chunks = [parser.chunk_data for _ in parser.chunks()]
    heard = decoded(codec, file[: parser.header_bytes] + b"".join(chunks[first:]), [33])
    audio = whole(codec, file)[:, 320 * first :]
    assert heard.shape == audio.shape
    # From the next restart but one on, both decoders began at the same place.
    assert np.array_equal(heard[:, 320 * 190 :], audio[:, 320 * 190 :])
    assert np.abs(heard - audio)[:, 320 * 30 :].max() < 0.1 * np.abs(audio).max()
