"""On a GPU the engine gives what it gives on a CPU but for near ties, and the same bits alone as in
company, in any rows. At full width: kernels are chosen by size.

These tests need torch, numpy and pytest alone.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.models import seeded_model
from model_core.checkpoints.load import weights_of
from model_core.config import CONFIGS
from model_core.engine import (
    EncodedBlock,
    EncodeItem,
    Engine,
    EngineOptions,
    Precision,
    make_engine,
)
from model_core.engine.cuda import CudaEngine, capture
from model_core.engine.torch_engine import TorchEngine
from model_core.model import EncodecModel
from tests.model_core.engine.narrow import decode_items, encode_items, streams_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")

DEVICE = "cuda"
NAMES = tuple(CONFIGS)
BOOKS = 8
PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")
LEAST_SNR = {"float32": 80, "tf32": 50, "bfloat16": 35}
"""dB of what is decoded, beside the CPU in float32."""


@lru_cache
def full_model(name: str) -> EncodecModel:
    return seeded_model(name)


@lru_cache
def full_engine(name: str, precision: Precision = "float32", rows: int = 4) -> CudaEngine:
    """Prepared; encoding is in TF32 where decoding is."""
    encode: Any = "tf32" if precision == "tf32" else "float32"
    options = EngineOptions(max_batch=rows, precision=precision, encode_precision=encode)
    engine = CudaEngine(full_model(name), DEVICE, options)
    engine.prepare()
    return engine


def lengths_of(name: str) -> tuple[int, ...]:
    """Samples of streams (or segments) that end with their block, shortly before or behind it, and
    with too little to be reflected."""
    block = CONFIGS[name].block_samples
    if CONFIGS[name].causal:
        return (3 * block, block, 2 * block + 11, 2 * block - 5000, 1000)
    return (block, block - 1, block - 20_001, 1000, 7)


@lru_cache
def streams(name: str) -> tuple[np.ndarray, ...]:
    return tuple(streams_of(full_model(name), lengths_of(name)))


def encoded(engine: Engine, several: Sequence[np.ndarray], books: int = BOOKS) -> list[list[Any]]:
    """The blocks of each, encoded in one call."""
    items = [encode_items(engine, stream, books) for stream in several]
    return dealt(engine.encode([item for each in items for item in each]), items)


def decoded(engine: Engine, coded: Sequence[Sequence[EncodedBlock]]) -> list[np.ndarray]:
    """The audio of each, decoded in one call."""
    items = [decode_items(engine, blocks) for blocks in coded]
    parts = dealt(engine.decode([item for each in items for item in each]), items)
    return [np.concatenate(each, axis=1) for each in parts]


def dealt(results: list[Any], like: Sequence[Sequence[Any]]) -> list[list[Any]]:
    rest = iter(results)
    return [[next(rest) for _ in each] for each in like]


def codes(blocks: Sequence[EncodedBlock]) -> np.ndarray:
    return np.concatenate([block.codes for block in blocks], axis=1)


@lru_cache
def expected(name: str) -> tuple[list[list[EncodedBlock]], list[np.ndarray]]:
    """What the torch backend makes of the streams on the CPU."""
    cpu = TorchEngine(full_model(name))
    blocks = encoded(cpu, streams(name))
    return blocks, decoded(cpu, blocks)


def assert_equal(ours: Sequence[EncodedBlock], theirs: Sequence[EncodedBlock]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.codes, other.codes)
        assert one.scale == other.scale


@contextmanager
def all_at_once(*jobs: Callable[[], None]) -> Iterator[None]:
    """Each in a thread of its own, beside what is inside; errors are raised at the end."""
    errors: list[BaseException] = []

    def kept(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001  raised again below
            errors.append(error)

    threads = [threading.Thread(target=kept, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_everything_is_captured(
    name: str, precision: Precision, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        engine = full_engine(name, precision)
    assert not caplog.records
    assert engine.captured is True


@pytest.mark.parametrize("name", NAMES)
def test_codes_are_those_of_the_cpu_but_for_near_ties(name: str) -> None:
    given = encoded(full_engine(name), streams(name))
    for ours, theirs in zip(given, expected(name)[0], strict=True):
        # In a frame where one code differs, so do those behind it.
        assert (codes(ours) == codes(theirs)).all(axis=0).mean() > 0.97
        for a, b in zip(ours, theirs, strict=True):
            assert a.scale == (None if b.scale is None else pytest.approx(b.scale, rel=1e-5))


@pytest.mark.parametrize("name", NAMES)
def test_audio_is_that_of_the_cpu(name: str) -> None:
    blocks, wanted = expected(name)
    for audio, other in zip(decoded(full_engine(name), blocks), wanted, strict=True):
        assert audio.shape == other.shape
        assert np.abs(audio - other).max() <= 1e-4 * np.abs(other).max()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_whole_and_short_blocks_decode_in_every_precision(name: str, precision: Precision) -> None:
    blocks, wanted = expected(name)
    engine = full_engine(name, precision)
    for each, other, length in zip(blocks, wanted, lengths_of(name), strict=True):
        audio = decoded(engine, [each])[0]
        noise = np.square(audio - other).mean() / np.square(other).mean()
        assert noise < 10 ** (-LEAST_SNR[precision] / 10), length


@pytest.mark.parametrize("name", NAMES)
def test_encoding_in_tf32_keeps_most_codes(name: str) -> None:
    given = encoded(full_engine(name, "tf32"), streams(name)[:1])[0]
    assert (codes(given)[0] == codes(expected(name)[0][0])[0]).mean() > 0.9


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_company_rows_and_threads_change_no_bit(name: str, precision: Precision) -> None:
    engine = full_engine(name, precision)
    several = streams(name)
    alone = [encoded(engine, [stream])[0] for stream in several]
    heard = [decoded(engine, [blocks])[0] for blocks in alone]

    def again(order: Sequence[int]) -> None:
        for _ in range(3):
            found = encoded(engine, [several[n] for n in order])
            for n, blocks in zip(order, found, strict=True):
                assert_equal(blocks, alone[n])
            for n, audio in zip(order, decoded(engine, [alone[n] for n in order]), strict=True):
                np.testing.assert_array_equal(audio, heard[n])

    orders = ([0, 1, 2, 3, 4], [4, 2, 0], [3, 1], [1])
    with all_at_once(*(partial(again, order) for order in orders)):
        pass


@pytest.mark.parametrize("name", NAMES)
def test_a_beam_is_captured_and_near_that_of_the_cpu(name: str) -> None:
    """Beside rows of other efforts."""
    engine, cpu = full_engine(name), TorchEngine(full_model(name))
    x = streams(name)[1]
    items = [EncodeItem(x, BOOKS, True, effort=effort) for effort in (1, 0, 3, 1)]
    found = engine.encode(items)
    assert engine.captured
    assert_equal(found[:1], found[3:])
    for item, block in zip(items, found, strict=True):
        (alone,) = engine.encode([item])
        np.testing.assert_array_equal(alone.codes, block.codes)
        (expected,) = cpu.encode([item])
        assert (block.codes == expected.codes).all(axis=0).mean() > 0.97


@pytest.mark.parametrize("name", NAMES)
def test_other_bandwidths_beside_it_change_no_bit(name: str) -> None:
    engine = full_engine(name)
    stream = streams(name)[1]
    alone = encoded(engine, [stream])[0]
    for most in (2, engine.config.num_codebooks):
        own, other = (encode_items(engine, stream, books) for books in (BOOKS, most))
        mixed = dealt(engine.encode([*other, *own]), [other, own])
        assert_equal(mixed[1], alone)
        fewer = min(most, BOOKS)
        np.testing.assert_array_equal(codes(mixed[0])[:fewer], codes(alone)[:fewer])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("rows", [1, 4, 32])
def test_blocks_of_one_stream_as_rows_give_the_bits_of_one_by_one(
    precision: Precision, rows: int
) -> None:
    name = "encodec_24khz"
    engine = full_engine(name, precision, rows)
    stream = streams_of(engine.model, [(rows + 3) * 24_000 + 4_567])[0]
    together = encoded(engine, [stream])[0]
    one_by_one = [engine.encode([item])[0] for item in encode_items(engine, stream, BOOKS)]
    assert_equal(together, one_by_one)
    heard = [engine.decode([item])[0] for item in decode_items(engine, together)]
    np.testing.assert_array_equal(decoded(engine, [together])[0], np.concatenate(heard, axis=1))


def test_a_model_is_loaded_while_another_runs(caplog: pytest.LogCaptureFixture) -> None:
    """As when a file of other weights comes while the service is busy."""
    busy = full_engine("encodec_24khz")
    several = streams("encodec_24khz")
    before = encoded(busy, several)

    def work() -> None:
        for _ in range(20):
            for blocks, wanted in zip(encoded(busy, several), before, strict=True):
                assert_equal(blocks, wanted)

    with caplog.at_level(logging.WARNING), all_at_once(work, work):
        made = [CudaEngine(full_model(name), DEVICE, EngineOptions(max_batch=2)) for name in NAMES]
        for engine in made:
            engine.prepare()
    assert not caplog.records
    assert all(engine.captured for engine in made)


def test_settings_of_the_process_are_put_back() -> None:
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul

    def settings() -> tuple[object, ...]:
        precisions = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, matmul.fp32_precision
        return (*precisions, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark)

    before = settings()
    for name in NAMES:
        options = EngineOptions(max_batch=1, precision="tf32", encode_precision="tf32")
        make_engine(weights_of(full_model(name)), DEVICE, options).prepare()
        encoded(full_engine(name), streams(name)[:1])
    assert settings() == before


def test_a_failed_call_leaves_the_streams_where_they_were() -> None:
    engine = full_engine("encodec_24khz")
    stream = streams("encodec_24khz")[0]
    items = encode_items(engine, stream, BOOKS)
    engine.encode(items[:1])
    with pytest.raises(ValueError, match="full one"):
        engine.encode([items[1], EncodeItem(stream[:, :3200], BOOKS, last=False)])
    rest = engine.encode(items[1:])
    assert_equal(rest, encoded(engine, [stream])[0][1:])


@contextmanager
def little_more_memory() -> Iterator[None]:
    """This process gets 64 MiB more of the device than it has, inside."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(DEVICE).total_memory
    torch.cuda.set_per_process_memory_fraction(
        (torch.cuda.memory_reserved(DEVICE) + 64 * 2**20) / total
    )
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_want_of_memory_ends_with_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit raises; then all goes on, captured, with the same bits."""
    monkeypatch.setattr(capture, "RETRY_SECONDS", 0.0)
    name = "encodec_24khz"
    stream = streams(name)[0]
    kept = full_engine(name, rows=32)
    wanted = encoded(kept, [stream])[0]
    late = CudaEngine(full_model(name), DEVICE, EngineOptions(max_batch=32))
    with little_more_memory():
        with pytest.raises(torch.OutOfMemoryError):
            CudaEngine(full_model(name), DEVICE, EngineOptions(max_batch=256))
        late.prepare()
        found = [late.captured]
        with pytest.raises(torch.OutOfMemoryError):
            encoded(late, [stream])
        assert_equal(encoded(kept, [stream])[0], wanted)
    late.prepare()
    assert [*found, late.captured] == [False, True]
    assert_equal(encoded(late, [stream])[0], wanted)
